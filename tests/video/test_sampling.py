from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.sampling import CandidateFrames, EveryFrame, FixedRate, KeyframesOnly, Sampling
from app.video.sampling import ProbedFrame, Sampler, choose_candidates

THIRTIETH = Fraction(1, 30)
MILLISECOND = Fraction(1, 1000)


def taken(sampling: Sampling, tick: Fraction, times: list[int]) -> list[int]:
    """Which of the frames at these times (in ticks) are sampled, by their number."""
    sampler = Sampler(sampling, tick)
    return [number for number, ticks in enumerate(times) if sampler.take(ticks)]


def test_all_and_keyframes_take_every_candidate_frame() -> None:
    for sampling in (EveryFrame(), KeyframesOnly()):
        assert taken(sampling, THIRTIETH, [0, 1, 5, 6]) == [0, 1, 2, 3]


def test_fps_takes_the_first_frame_of_each_interval() -> None:
    assert taken(FixedRate(2), THIRTIETH, list(range(60))) == [0, 15, 30, 45]
    assert taken(FixedRate(0.5), THIRTIETH, list(range(150))) == [0, 60, 120]


def test_fps_takes_the_first_frame_even_if_sampling_is_rare() -> None:
    assert taken(FixedRate(0.001), THIRTIETH, list(range(300))) == [0]


def test_more_samples_than_frames_are_not_to_be_had() -> None:
    assert taken(FixedRate(240), THIRTIETH, list(range(10))) == list(range(10))


def test_the_frames_own_rate_takes_every_frame_although_its_times_are_rounded() -> None:
    times = [round(number * 1000 / 30) for number in range(300)]  # as Matroska stores them
    assert taken(FixedRate(30), MILLISECOND, times) == list(range(300))


def test_decimal_rates_are_meant_as_written() -> None:
    assert taken(FixedRate(0.1), Fraction(1), list(range(101))) == list(range(0, 101, 10))


def test_a_pause_in_the_recording_costs_no_sample_after_it() -> None:
    assert taken(FixedRate(1), THIRTIETH, [0, 1, 2, 300, 301, 330]) == [0, 3, 5]


@given(
    fps=st.floats(0.01, 240, allow_nan=False),
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    start=st.integers(1, 60),
)
def test_what_is_sampled_does_not_depend_on_where_one_begins(fps: float, gaps: list[int], start: int) -> None:
    times = [sum(gaps[:number]) for number in range(len(gaps))]
    start = min(start, len(times) - 1)
    undisturbed = taken(FixedRate(fps), MILLISECOND, times)
    sampler = Sampler(FixedRate(fps), MILLISECOND)
    if start:
        sampler.take(times[start - 1])
    resumed = [number for number in range(start, len(times)) if sampler.take(times[number])]
    assert resumed == [number for number in undisturbed if number >= start]


@given(st.integers(1, 120), st.lists(st.integers(1, 100), min_size=1, max_size=100))
def test_no_interval_gives_two_samples(fps: int, gaps: list[int]) -> None:
    times = [sum(gaps[:number]) for number in range(len(gaps))]
    chosen = [times[number] for number in taken(FixedRate(fps), MILLISECOND, times)]
    intervals = [(2 * time + 1) * fps // 2000 for time in chosen]
    assert len(set(intervals)) == len(intervals)


def beginning(kinds: str) -> list[ProbedFrame]:
    """Thirty frames a second: K key, P reference, b not a reference."""
    return [ProbedFrame(number, kind == "K", kind != "b") for number, kind in enumerate(kinds)]


GOP_2_SECONDS = ("K" + "bbP" * 19 + "bb") * 5


@pytest.mark.parametrize(
    ("sampling", "kinds", "expected"),
    [
        (EveryFrame(), GOP_2_SECONDS, "all"),
        (KeyframesOnly(), GOP_2_SECONDS, "key"),
        (FixedRate(2), GOP_2_SECONDS, "reference"),  # 0.1 s between reference frames, 0.5 s between samples
        (FixedRate(5), GOP_2_SECONDS, "all"),  # 0.1 s is too much beside 0.2 s
        (FixedRate(0.1), GOP_2_SECONDS, "key"),  # 2 s between key frames, 10 s between samples
        (FixedRate(2), "KPPPPPPPPPPPPPPPPPPP" * 5, "all"),  # nothing could be left out
        (FixedRate(2), "K" * 100, "all"),
        (FixedRate(2), "K" + "P" * 99, "all"),
        (FixedRate(0.01), "K" + "P" * 99, "all"),  # one key frame tells nothing about gaps
        (FixedRate(0.1), ("K" + "P" * 59) * 3 + "P" * 15, "key"),
        # The last gap counts although it has no end yet.
        (FixedRate(0.1), ("K" + "P" * 59) * 3 + "P" * 200, "all"),
        (FixedRate(2), "bb" + GOP_2_SECONDS, "all"),  # the first frame is always sampled
        (FixedRate(2), "K", "all"),
        (FixedRate(2), "", "all"),
    ],
)
def test_the_cheapest_frames_that_are_close_enough_are_chosen(
    sampling: Sampling, kinds: str, expected: CandidateFrames
) -> None:
    assert choose_candidates(sampling, beginning(kinds), THIRTIETH) == expected

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.detectors.make import Memory, Segments, replay_from
from app.domain.picture import Picture
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, plain

PICTURE = ArrayPicture(plain(64, 36))


class Recorder:
    """Answers with the frames it has seen so far: whatever changes its memory changes its answer."""

    memory = None

    def __init__(self) -> None:
        self.seen: list[int] = []

    def detect(self, _picture: Picture, frame: int) -> tuple[Detection, ...]:
        self.seen.append(frame)
        return (Detection(",".join(map(str, self.seen)), 1.0, (0, 0, 1, 1)),)


def run(memory: Memory, frames: list[int], start: int = 0) -> dict[int, tuple[Detection, ...]]:
    """What a run that goes on at `start` stores; sampled frames that are not in `frames` failed to decode."""
    segments = Segments(Recorder, memory, start)
    fed = {n: segments.feed(n, PICTURE, n) for n in frames if n >= replay_from(start, memory)}
    return {n: found for n, found in fed.items() if n >= start}


def test_a_segment_s_instance_has_seen_its_warm_up_and_nothing_older() -> None:
    stored = run(Memory(segment=5, warmup=2), list(range(12)))
    assert [stored[n][0].label for n in (4, 5, 11)] == ["0,1,2,3,4", "3,4,5", "8,9,10,11"]


def test_replay_begins_at_the_warm_up_of_the_segment() -> None:
    memory = Memory(segment=100, warmup=10)
    assert [replay_from(n, memory) for n in (0, 99, 100, 199, 250)] == [0, 0, 90, 90, 190]


@given(
    segment=st.integers(1, 8),
    warmup=st.integers(0, 8),
    start=st.integers(0, 40),
    failed=st.sets(st.integers(0, 40)),
)
def test_a_resumed_run_stores_what_an_undisturbed_one_stores(
    segment: int, warmup: int, start: int, failed: set[int]
) -> None:
    memory = Memory(segment, min(warmup, segment))
    frames = [n for n in range(41) if n not in failed]
    undisturbed = {n: found for n, found in run(memory, frames).items() if n >= start}
    assert run(memory, frames, start) == undisturbed


class Stumbling(Recorder):
    """Sees frame 4 and then fails on it."""

    def detect(self, picture: Picture, frame: int) -> tuple[Detection, ...]:
        found = super().detect(picture, frame)
        if frame == 4:
            raise ValueError("frame 4")
        return found


def test_a_frame_that_fails_leaves_the_same_memory_in_both_runs() -> None:
    def labels(start: int) -> list[str]:
        segments = Segments(Stumbling, memory, start)
        found = []
        for n in range(replay_from(start, memory), 7):
            if n == 4:
                with pytest.raises(ValueError, match="frame 4"):
                    segments.feed(n, PICTURE, n)
            elif n >= 5:
                found.append(segments.feed(n, PICTURE, n)[0].label)
            else:
                segments.feed(n, PICTURE, n)
        return found

    memory = Memory(segment=5, warmup=2)
    assert labels(start=0) == labels(start=5) == ["3,4,5", "3,4,5,6"]

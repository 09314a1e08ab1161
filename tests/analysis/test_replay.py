"""What analysis knows is a function of the stored frames: wherever it is saved, it goes on the same."""

import struct
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.analysis.analysis import Analysis, Step
from app.analysis.state import VERSION, UnreadableStateError
from app.domain.analysis import AnalysisRules
from app.domain.event import Event
from app.domain.prediction import Detection
from tests.support.footage import SIZE, Shown, at, rules
from tests.support.scenes import make_scene

EVERYTHING = rules(
    presence={},
    zones=[
        {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]},
        {"name": "low", "polygon": [[0, 0.6], [1, 0.4], [1, 1], [0, 1]], "anchor": "center"},
        {"name": "corner", "polygon": [[0, 0], [0.1, 0], [0.1, 0.1]], "ignore": True},
    ],
    lines=[
        {"name": "across", "from": [0, 0.5], "to": [1, 0.6]},
        {"name": "down", "from": [0.5, 0], "to": [0.5, 1]},
    ],
    alerts=[
        {"name": "any", "cooldown_seconds": 3},
        {"name": "waits", "zone": "low", "min_seconds": 0.5, "cooldown_seconds": 1},
        {"name": "crosses", "line": "down", "labels": ["person"]},
    ],
)
LABELS_ONLY = rules(tracking=None, presence={"max_gap_seconds": 1}, alerts=[{"name": "seen"}])


@st.composite
def footage(draw: st.DrawFn) -> list[Shown]:
    """Objects that wander, jump and vanish, at uneven times; two frames may have one time."""
    rng = Random(draw(st.integers(0, 10**9)))
    places = [(rng.uniform(0, 1000), rng.uniform(0, 1000)) for _ in range(draw(st.integers(0, 5)))]
    time = 0.0
    frames: list[Shown] = []
    for _ in range(draw(st.integers(1, 60))):
        time += rng.choice([0.0, 0.1, 0.1, 0.1, 0.5, rng.choice([0.1, 2.5, 61.0])])
        places = [
            (min(max(x + rng.gauss(0, 40), 0.0), 1000.0), min(max(y + rng.gauss(0, 40), 0.0), 1000.0))
            for x, y in places
        ]
        frames.append(
            (
                time,
                tuple(
                    at(round(x, 2), round(y, 2), "person" if n % 2 else "car", round(rng.uniform(0.2, 1), 4))
                    for n, (x, y) in enumerate(places)
                    if rng.random() < 0.9
                ),
            )
        )
    return frames


@settings(max_examples=80, deadline=None)
@given(
    frames=footage(),
    borders=st.sets(st.integers(0, 60)),
    asked=st.sampled_from([EVERYTHING, LABELS_ONLY]),
)
def test_saving_at_any_borders_changes_nothing(
    frames: list[Shown], borders: set[int], asked: AnalysisRules
) -> None:
    once, often = Analysis(asked), Analysis(asked)
    for n, (time, detections) in enumerate(frames):
        assert once.step(n, time, SIZE, detections) == often.step(n, time, SIZE, detections)
        if n in borders:
            assert once.save() == often.save()
            assert once.end("interrupted") == often.end("interrupted")
            often = Analysis(asked, often.carried, often.save())
            assert often.carried == once.carried


@settings(max_examples=80, deadline=None)
@given(frames=footage(), at_frame=st.integers(0, 59), killed_after=st.integers(0, 59))
def test_frames_that_are_taken_again_from_a_saved_state_give_the_same_again(
    frames: list[Shown], at_frame: int, killed_after: int
) -> None:
    """Also if these have the track ids that the first run stored."""
    analysis = Analysis(EVERYTHING)
    steps: list[Step] = []
    saved, carried = analysis.save(), analysis.carried
    for n, (time, detections) in enumerate(frames):
        steps.append(analysis.step(n, time, SIZE, detections))
        if n == at_frame:
            saved = analysis.save()
        if n <= max(killed_after, at_frame):
            carried = analysis.carried
    again = Analysis(EVERYTHING, carried, saved)
    first = at_frame + 1 if at_frame < len(frames) else 0
    for n in range(first, len(frames)):
        assert again.step(n, frames[n][0], SIZE, steps[n].detections) == steps[n]
    assert again.save() == analysis.save()


@settings(max_examples=80, deadline=None)
@given(frames=footage())
def test_events_are_numbered_in_order_and_change_only_while_they_are_open(frames: list[Shown]) -> None:
    analysis = Analysis(EVERYTHING)
    known: dict[int, Event] = {}
    for n, (time, detections) in enumerate(frames):
        for event in analysis.step(n, time, SIZE, detections).events:
            before = known.get(event.event_id)
            if before is None:
                assert event.event_id == len(known) + 1
            else:
                assert before.state == "open"
                assert (before.kind, before.label, before.track_id, before.name, before.start_frame) == (
                    event.kind,
                    event.label,
                    event.track_id,
                    event.name,
                    event.start_frame,
                )
            assert event.start_time <= event.best_time <= event.end_time or event.kind == "alert"
            assert event.end_frame <= n
            known[event.event_id] = event
    still_open = [event for event in known.values() if event.state == "open"]
    assert list(analysis.end("interrupted")) == [
        Event(
            event.event_id,
            event.kind,
            "interrupted",
            *[getattr(event, name) for name in event.__struct_fields__[3:]],
        )
        for event in sorted(still_open, key=lambda event: event.event_id)
    ]
    assert analysis.carried.next_event_id == len(known) + 1


@pytest.mark.parametrize("name", ["turns", "pillars"])
def test_an_object_crosses_one_line_alternately(name: str) -> None:
    scene = make_scene(name, 3)
    analysis = Analysis(EVERYTHING)
    sides: dict[tuple[str | None, int | None], list[str | None]] = {}
    for frame in scene.sampled(10):
        for event in analysis.step(frame.frame, frame.time, scene.size, frame.detections).events:
            if event.kind == "line":
                sides.setdefault((event.name, event.track_id), []).append(event.direction)
    assert sides
    # Past the end of the line nothing is counted, so only lines across the whole picture alternate.
    for (line, _), directions in sides.items():
        if line == "down":
            assert all(one != other for one, other in pairwise(directions))


@pytest.mark.parametrize("position", [0, 1, 2, 5, 6, 40, -1])
def test_a_damaged_state_is_not_read(position: int) -> None:
    analysis = Analysis(EVERYTHING)
    analysis.step(0, 0.0, SIZE, (at(300, 800),))
    saved = bytearray(analysis.save())
    saved[position] ^= 4
    with pytest.raises(UnreadableStateError, match=r"damaged|version"):
        Analysis(EVERYTHING, analysis.carried, bytes(saved))


@pytest.mark.parametrize(
    "saved", [b"", b"\x00", struct.pack(">HI", VERSION, 0), struct.pack(">HI", VERSION + 1, 0)]
)
def test_a_state_that_is_cut_or_newer_is_not_read(saved: bytes) -> None:
    with pytest.raises(UnreadableStateError):
        Analysis(EVERYTHING, None, saved)


def test_the_detections_of_a_frame_keep_their_class_and_order() -> None:
    analysis = Analysis(rules())
    one = Detection("person", 0.9, (100.0, 100.0, 200.0, 300.0), None, 5)
    for n in range(3):
        step = analysis.step(n, n / 10, SIZE, (one, at(800, 800)))
    assert step.detections[0] == Detection("person", 0.9, one.box, 1, 5)
    assert step.detections[1].track_id == 2

"""A run that is killed between two batches is resumed to the same predictions and counters."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.detectors.base import Detector, WarmUp
from app.detectors.warm_up import RebuiltDetector
from app.domain.event import Carried, Event
from app.domain.picture import Picture
from app.domain.prediction import Detection, Prediction
from app.predictions.checkpoint import Batch, Checkpoint, Counters, OpenEvent, SavedAnalysis
from app.runner.frames.tasks import AnalysedFrame, FrameTask
from app.runner.storing.batches import BatchBuilder
from app.video.reading import Watermark
from tests.support.pictures import ArrayPicture, plain

Kind = Literal["skipped", "sampled", "damaged"]
PICTURE = ArrayPicture(plain(4, 4))
BEGINNING = Checkpoint(0, False, None, 0, 0, Counters(), 0.0, 0.0)


class Remembers(Detector):
    """Returns the frames that it has seen, as a label."""

    def __init__(self) -> None:
        self._fed: list[int] = []

    def detect(self, _picture: Picture, frame: int) -> tuple[Detection, ...]:
        self._fed.append(frame)
        return (Detection(",".join(map(str, self._fed)), 1.0, (0, 0, 1, 1)),)


class Stored:
    """What a database holds of a scenario."""

    def __init__(self) -> None:
        self.predictions: list[Prediction] = []
        self.checkpoint = BEGINNING

    def take(self, batch: Batch) -> None:
        assert batch.start == self.checkpoint.next_frame
        self.predictions += batch.predictions
        self.checkpoint = replace(
            self.checkpoint,
            next_frame=batch.end,
            is_finished=batch.is_finished,
            replay_frame=batch.replay_frame,
            replay_sampled=batch.replay_sampled,
            counters=batch.counters,
            position_seconds=batch.position_seconds,
        )


def read(recording: list[Kind], stored: Stored, warm_up: WarmUp | None) -> Iterator[FrameTask | Watermark]:
    """What the pipeline gives to a run that begins with what is stored."""
    checkpoint = stored.checkpoint
    rebuilt = RebuiltDetector(Remembers, warm_up, checkpoint.counters.sampled) if warm_up else None
    sampled = checkpoint.replay_sampled
    for frame, kind in enumerate(recording):
        if frame < checkpoint.replay_frame:
            continue
        if kind == "skipped":
            yield Watermark(frame + 1, float(frame))
            continue
        error = "damaged" if kind == "damaged" else None
        task = FrameTask(frame, float(frame), sampled, None, error)
        if error is None:
            task.detections = (
                rebuilt.detect(sampled, PICTURE, frame) if rebuilt else Remembers().detect(PICTURE, frame)
            )
        sampled += 1
        yield task


def run(
    recording: list[Kind], stored: Stored, warm_up: WarmUp | None, sizes: list[int], *, killed_after: int
) -> None:
    """One run, with batches of `sizes` entries in turn. It stores at most `killed_after` entries."""
    builder = BatchBuilder(stored.checkpoint, warm_up)
    entries_left = islice(read(recording, stored, warm_up), killed_after)
    read_all = killed_after > len(recording)
    for number in range(killed_after + 1):
        entries = list(islice(entries_left, sizes[number % len(sizes)]))
        batch = builder.build(entries, source_state="open", is_finished=not entries and read_all)
        if batch is not None:
            stored.take(batch)
        if not entries:
            return


def uninterrupted(recording: list[Kind], warm_up: WarmUp | None) -> Stored:
    stored = Stored()
    run(recording, stored, warm_up, [3], killed_after=len(recording) + 1)
    return stored


def assert_same(stored: Stored, expected: Stored) -> None:
    assert stored.predictions == expected.predictions
    assert stored.checkpoint.is_finished
    assert stored.checkpoint.counters == expected.checkpoint.counters
    assert stored.checkpoint.next_frame == expected.checkpoint.next_frame
    assert stored.checkpoint.position_seconds == expected.checkpoint.position_seconds


@given(
    recording=st.lists(st.sampled_from(["skipped", "sampled", "sampled", "damaged"]), max_size=40),
    warm_up=st.none()
    | st.integers(1, 8).flatmap(lambda size: st.builds(WarmUp, st.just(size), st.integers(0, size))),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    kills=st.lists(st.integers(0, 45), max_size=6),
)
def test_what_is_stored_of_a_recording_does_not_depend_on_when_runs_are_killed(
    recording: list[Kind], warm_up: WarmUp | None, sizes: list[int], kills: list[int]
) -> None:
    stored = Stored()
    for killed_after in kills:
        if not stored.checkpoint.is_finished:
            run(recording, stored, warm_up, sizes, killed_after=killed_after)
    if not stored.checkpoint.is_finished:
        run(recording, stored, warm_up, sizes, killed_after=len(recording) + 1)
    assert_same(stored, uninterrupted(recording, warm_up))


@pytest.mark.parametrize("warm_up", [WarmUp(5, 2), WarmUp(5, 0), WarmUp(5, 5), WarmUp(1, 1), WarmUp(1, 0)])
def test_what_is_stored_does_not_depend_on_kills_around_a_rebuild_of_the_detector(warm_up: WarmUp) -> None:
    recording: list[Kind] = ["sampled", "skipped", "sampled", "sampled", "damaged", "skipped"] * 6
    expected = uninterrupted(recording, warm_up)
    for first in range(len(recording) + 1):
        for second in range(0, len(recording) + 1, 7):
            stored = Stored()
            run(recording, stored, warm_up, [1], killed_after=first)
            run(recording, stored, warm_up, [4], killed_after=second)
            run(recording, stored, warm_up, [1], killed_after=len(recording) + 1)
            assert_same(stored, expected)


def test_frames_before_the_checkpoint_only_warm_the_detector_up() -> None:
    warm_up = WarmUp(5, 2)
    recording: list[Kind] = ["sampled"] * 20
    stored = Stored()
    run(recording, stored, warm_up, [1], killed_after=13)
    assert (stored.checkpoint.next_frame, stored.checkpoint.replay_frame) == (13, 8)
    builder = BatchBuilder(stored.checkpoint, warm_up)
    again = list(islice(read(recording, stored, warm_up), 5))
    assert builder.build(again, source_state="open") is None
    assert builder.counters == stored.checkpoint.counters


def test_dropped_frames_of_a_live_source_are_counted_and_nothing_is_replayed() -> None:
    builder = BatchBuilder(replace(BEGINNING, next_frame=100, counters=Counters(sampled=40)), WarmUp(5, 2))
    kept = FrameTask(100, 1.0, None, None, detections=())
    lost = FrameTask(101, 1.1, None, None, is_dropped=True)
    batch = builder.build([kept, lost, Watermark(110, 2.0, dropped=3)], source_state="open")
    assert batch is not None
    assert (batch.start, batch.end, batch.position_seconds) == (100, 110, 2.0)
    assert batch.counters == Counters(sampled=41, dropped=4)
    assert [prediction.frame for prediction in batch.predictions] == [100]


def test_a_last_batch_without_new_frames_keeps_the_position() -> None:
    builder = BatchBuilder(replace(BEGINNING, next_frame=100, position_seconds=3.3), None)
    batch = builder.build([Watermark(100, 3.2)], source_state="closed", is_finished=True)
    assert batch is not None
    assert (batch.start, batch.end, batch.position_seconds, batch.is_finished) == (100, 100, 3.3, True)


def test_the_row_of_an_open_event_is_written_if_it_was_seen_better_and_a_state_is_saved() -> None:
    builder = BatchBuilder(replace(BEGINNING, open_events=(OpenEvent(1, 3, 0.3), OpenEvent(2, 4, 0.4))), None)
    stay = Event(1, "object", "open", "car", 7, None, None, 3, 0.1, 9, 0.3, 5, 0.2, (1.0, 2.0, 3.0, 4.0), 0.5)
    written, ends = [], []
    saved = SavedAnalysis(0, b"state")
    steps: list[tuple[dict[str, Any], SavedAnalysis | None]] = [
        ({}, None),  # the run does not know what the row has
        ({}, saved),
        ({"best_frame": 12}, None),
        ({"best_frame": 13}, None),
        ({"best_frame": 13}, saved),
        ({"best_frame": 13}, saved),
        ({"best_frame": 16}, None),
        ({"best_frame": 16, "state": "ended"}, None),
        ({"event_id": 3}, saved),
    ]
    for frame, (changes, state) in enumerate(steps, start=10):
        event = replace(stay, end_frame=frame, end_time=frame / 10, **changes)
        task = FrameTask(frame, frame / 10, None, None, detections=())
        task.analysed = AnalysedFrame((event,), Carried(8, 3), state)
        batch = builder.build([task], source_state="open")
        assert batch is not None
        assert batch.analysis is not None
        written.append([(one.event_id, one.best_frame, one.state) for one in batch.analysis.events])
        ends.append(batch.analysis.open_events)
    assert written == [
        [(1, 5, "open")], [], [], [], [(1, 13, "open")], [], [], [(1, 16, "ended")], [(3, 5, "open")],
    ]  # fmt: skip
    other = OpenEvent(2, 4, 0.4)
    assert ends[:8] == [*[(OpenEvent(1, frame, frame / 10), other) for frame in range(10, 17)], (other,)]


def test_nothing_is_stored_of_analysis_while_nothing_happens() -> None:
    carried = Carried(8, 3, {"visitor": 0.5})
    builder = BatchBuilder(replace(BEGINNING, carried=carried, open_events=(OpenEvent(2, 4, 0.4),)), None)
    ended = Event(2, "object", "ended", "car", 7, None, None, 3, 0.1, 4, 0.4, 4, 0.4, (0, 0, 9, 9), 1.0)
    steps: list[tuple[tuple[Event, ...], Carried, SavedAnalysis | None]] = [
        ((), carried, None),
        ((ended,), carried, None),
        ((), carried, None),
        ((), replace(carried, next_track_id=9), None),
        ((), replace(carried, next_track_id=9), None),
        ((), replace(carried, next_track_id=9), SavedAnalysis(16, b"state")),
    ]
    stored = []
    for frame, analysed in enumerate(steps, start=10):
        task = FrameTask(frame, frame / 10, None, None, detections=())
        task.analysed = AnalysedFrame(*analysed)
        batch = builder.build([task], source_state="open")
        assert batch is not None
        stored.append(batch.analysis is not None)
    assert stored == [False, True, False, True, False, True]

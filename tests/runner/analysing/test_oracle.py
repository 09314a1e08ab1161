"""However runs end, what is known of a recording is what a replay of its stored frames gives.

Runs here have the real analysis, batches and replay, and a database in memory. They are killed between any
two batches, stopped, released or failed, with frames that were analysed and are not stored; states of
analysis are saved after any frame, and may be damaged or of another version when the next run claims.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Literal
from uuid import uuid4

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from app.analysis import state as analysis_state
from app.analysis.analysis import Analysis
from app.domain.analysis import AnalysisRules
from app.domain.event import Carried, Event
from app.domain.prediction import Detection, Prediction
from app.predictions.checkpoint import AnalysisUpdate, Batch, Checkpoint, Counters, SavedAnalysis
from app.predictions.codec import as_stored
from app.runner.analysing import step as analysing
from app.runner.analysing.step import EndOfAnalysis, RunAnalysis, end_of_events
from app.runner.frames.tasks import FrameTask
from app.runner.storing import replay as replay_module
from app.runner.storing.batches import BatchBuilder
from app.runner.storing.replay import Replay
from tests.support.footage import at, stored_row
from tests.support.footage import rules as make_rules

PAGE = 7  # frames that a replay reads at once
BEGINNING = Checkpoint(0, False, None, 0, 0, Counters(), 0.0, 0.0)
EVERYTHING = make_rules(
    tracking={"max_gap_seconds": 0.5},
    presence={"max_gap_seconds": 0.3},
    zones=[
        {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]},
        {"name": "corner", "polygon": [[0, 0], [0.2, 0], [0.2, 0.4]], "ignore": True},
    ],
    lines=[{"name": "down", "from": [0.5, 0], "to": [0.5, 1]}],
    alerts=[
        {"name": "waits", "zone": "left", "min_seconds": 0.3, "cooldown_seconds": 2},
        {"name": "crosses", "line": "down"},
    ],
)
LABELS_ONLY = make_rules(
    tracking=None,
    presence={"max_gap_seconds": 0.3},
    alerts=[{"name": "seen", "min_seconds": 0.2, "cooldown_seconds": 1}],
)


class Frame(Struct, frozen=True):
    """A frame of the recording, as the detector leaves it."""

    time: float
    detections: tuple[Detection, ...] | None
    size: tuple[int, int]


Damage = Literal["none", "older version", "newer version", "damaged", "other results", "lost"]


class RunEnd(Struct, frozen=True):
    """How one run ends, and what becomes of the state before the next one claims."""

    how: Literal["killed", "stop", "release", "failed"]
    stored: int
    """Frames that it stores."""
    analysed: int
    """Frames that it analyses and does not store if it is killed."""
    batch: int
    saves: int
    """A seed: after which frames the state is saved."""
    damage: Damage


class Stored:
    """What the database holds of the scenario."""

    def __init__(self) -> None:
        self.checkpoint = BEGINNING
        self.predictions: list[Prediction] = []
        self.events: dict[int, Event] = {}
        self.is_spoiled = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Stored"]:
        yield self

    def take(self, batch: Batch) -> None:
        before = self.checkpoint
        assert batch.start == before.next_frame
        self.predictions += batch.predictions
        update = batch.analysis or AnalysisUpdate(before.carried, (), before.open_events)
        self.is_spoiled = self.is_spoiled and update.saved is None
        for event in update.events:
            known = self.events.get(event.event_id)
            if known is None or known.state != "ended":
                self.events[event.event_id] = event
        for one in update.open_events:
            if self.events[one.event_id].state == "open":
                known = self.events[one.event_id]
                self.events[one.event_id] = replace(known, end_frame=one.end_frame, end_time=one.end_time)
        self.checkpoint = replace(
            before,
            next_frame=batch.end,
            is_finished=batch.is_finished,
            counters=batch.counters,
            position_seconds=batch.position_seconds,
            replay_frame=batch.replay_frame,
            replay_sampled=batch.replay_sampled,
            sizes=before.sizes + batch.new_sizes,
            analysis=update.saved or before.analysis,
            carried=update.carried,
            open_events=update.open_events,
        )
        unended = {event.event_id for event in self.events.values() if event.state != "ended"}
        assert unended == {one.event_id for one in self.checkpoint.open_events}

    def spoil(self, damage: Damage) -> None:
        """Let the saved state be as if another version had made it, or a disk had damaged it."""
        saved, carried = self.checkpoint.analysis, self.checkpoint.carried
        state = saved.state
        if damage in ("older version", "newer version"):
            version = analysis_state.VERSION + (1 if damage == "newer version" else -1)
            state = version.to_bytes(2, "big") + state[2:]
        elif damage == "damaged":
            state += b"?"
        elif damage == "other results":  # of a version that found more
            carried = replace(carried, next_event_id=carried.next_event_id + 3)
        elif damage == "lost":
            saved = SavedAnalysis()
            state = b""
        analysis = SavedAnalysis(saved.frame, state)
        self.is_spoiled = self.is_spoiled or damage not in ("none", "lost")
        self.checkpoint = replace(self.checkpoint, analysis=analysis, carried=carried)


async def read_frames(connection: Stored, scenario_id: object, first: int, end: int) -> list[Any]:
    found = [one for one in connection.predictions if first <= one.frame < end and one.error is None]
    return [stored_row(one) for one in found[:PAGE]]


async def read_events(connection: Stored, scenario_id: object, numbers: tuple[int, ...]) -> list[Any]:
    return [_as_row(event) for number, event in sorted(connection.events.items()) if number in numbers]


def _as_row(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


@pytest.fixture(scope="module", autouse=True)
def database_in_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay_module, "read_frames", read_frames)
        patch.setattr(replay_module, "read_events", read_events)
        patch.setattr(replay_module, "PAGE", PAGE)
        patch.setattr(analysing, "SAVE_EVERY", 1e9)  # runs change it before each frame
        yield


def from_the_beginning(rules: AnalysisRules, stored: Stored, ids: Carried) -> Analysis:
    """The oracle: an analysis that has seen all stored frames."""
    analysis = Analysis(rules, Carried(ids.next_track_id, ids.next_event_id))
    for one in stored.predictions:
        if one.error is None:
            (size,) = [size for size in stored.checkpoint.sizes if size.frame <= one.frame][-1:]
            plain = [replace(each, track_id=None) for each in one.detections]
            analysis.step(one.frame, one.time, (size.width, size.height), plain)
    return analysis


def run(rules: AnalysisRules, recording: list[Frame], stored: Stored, end: RunEnd | None) -> Analysis:
    """Execute one run, to the end of the recording if `end` is None; return its analysis as it began."""
    claimed = stored.checkpoint
    replay = Replay(rules, uuid4(), claimed, stored, lambda: False)  # type: ignore[arg-type]
    resumed = anyio.run(replay.resume)
    assert resumed is not None
    began = Analysis(rules, Carried(), resumed.analysis.save())
    analysis, builder = RunAnalysis(resumed.analysis, claimed), BatchBuilder(claimed, None)
    builder.saved_analysis = resumed.saved
    if resumed.events:
        builder.change_analysis(resumed.events, analysis.carried, None)
    saves = Random(0 if end is None else end.saves)
    last = len(recording) if end is None else min(claimed.next_frame + end.stored, len(recording))
    ahead = end.analysed if end is not None and end.how == "killed" else 0
    tasks: list[FrameTask] = []
    for frame in range(max(claimed.next_frame - 2, 0), min(last + ahead, len(recording))):  # two to warm up
        one = recording[frame]
        error = "damaged" if one.detections is None else None
        task = FrameTask(frame, one.time, frame, None, error, one.size, one.detections)
        analysing.SAVE_EVERY = 0.0 if saves.random() < 0.3 else 1e9
        found = analysis(task)
        task.detections = task.detections if found is None else found
        tasks.append(task)
        size = end.batch if end is not None else 4
        if len(tasks) == size and frame < last:
            _store(stored, builder.build(tasks, source_state="open"))
            tasks.clear()
    tasks = [task for task in tasks if task.frame < last]
    if end is not None and end.how == "killed":
        return began
    is_finished = last == len(recording)
    asked: Any = end.how if end is not None and end.how != "failed" else None
    ending = EndOfAnalysis(analysis, end_of_events(asked, is_finished=is_finished, is_live=False))
    _store(stored, builder.build(tasks, source_state="closed", is_finished=is_finished, ending=ending))
    return began


def _store(stored: Stored, batch: Batch | None) -> None:
    if batch is not None:
        stored.take(batch)


def undisturbed(rules: AnalysisRules, recording: list[Frame]) -> Stored:
    stored = Stored()
    run(rules, recording, stored, None)
    return stored


@st.composite
def recordings(draw: st.DrawFn) -> list[Frame]:
    """People and cars that wander and vanish; frames with errors, equal times, long gaps, two sizes."""
    rng = Random(draw(st.integers(0, 10**9)))
    places = [(rng.uniform(0, 1000), rng.uniform(200, 1000)) for _ in range(draw(st.integers(0, 4)))]
    speeds = [(rng.gauss(0, 30), rng.gauss(0, 10)) for _ in places]
    time, frames = 0.0, []
    smaller_from = draw(st.integers(0, 90))
    for frame in range(draw(st.integers(1, 60))):
        time += rng.choice([0.0, 0.1, 0.1, 0.1, 0.1, rng.choice([0.1, 0.7, 2.0, 61.0])])
        places = [
            (min(max(x + right, 0.0), 1000.0), min(max(y + down, 0.0), 1000.0))
            for (x, y), (right, down) in zip(places, speeds, strict=True)
        ]
        found = as_stored(
            [
                at(x, y, "person" if n % 2 else "car", rng.uniform(0.2, 1))
                for n, (x, y) in enumerate(places)
                if rng.random() < 0.9
            ]
        )
        size = (1000, 1000) if frame < smaller_from else (900, 800)
        frames.append(Frame(time, None if rng.random() < 0.05 else found, size))
    return frames


def run_ends(damages: tuple[Damage, ...]) -> st.SearchStrategy[list[RunEnd]]:
    return st.lists(
        st.builds(
            RunEnd,
            st.sampled_from(["killed", "killed", "stop", "release", "failed"]),
            st.integers(0, 30),
            st.integers(0, 5),
            st.integers(1, 9),
            st.integers(0, 99),
            st.sampled_from(damages),
        ),
        max_size=5,
    )


RULES = st.sampled_from([EVERYTHING, EVERYTHING, LABELS_ONLY])


@settings(max_examples=60, deadline=None)
@given(rules=RULES, recording=recordings(), ends=run_ends(("none", "lost")))
def test_a_resumed_analysis_is_that_of_the_stored_frames_wherever_runs_ended(
    rules: AnalysisRules, recording: list[Frame], ends: list[RunEnd]
) -> None:
    stored = Stored()
    for end in [*ends, None]:
        if stored.checkpoint.is_finished:
            break
        expected = from_the_beginning(rules, stored, Carried())
        began = run(rules, recording, stored, end)
        assert began.save() == expected.save()
        if end is not None:
            stored.spoil(end.damage)
    reference = undisturbed(rules, recording)
    assert stored.predictions == reference.predictions
    assert stored.events == reference.events
    assert stored.checkpoint.carried == reference.checkpoint.carried
    assert stored.checkpoint.open_events == ()
    assert {event.state for event in stored.events.values()} <= {"ended"}


@settings(max_examples=60, deadline=None)
@given(
    rules=RULES,
    recording=recordings(),
    ends=run_ends(("none", "older version", "newer version", "damaged", "other results")),
)
def test_a_state_of_another_version_is_replaced_by_that_of_the_stored_frames_under_new_ids(
    rules: AnalysisRules, recording: list[Frame], ends: list[RunEnd]
) -> None:
    stored = Stored()
    ids = Carried()  # of the first track and event since the state was last made anew
    for end in [*ends, None]:
        if stored.checkpoint.is_finished:
            break
        before, claimed = dict(stored.events), stored.checkpoint
        if stored.is_spoiled:
            ids = claimed.carried
        expected = from_the_beginning(rules, stored, ids)
        began = run(rules, recording, stored, end)
        assert began.save() == expected.save()
        assert all(number in before or number >= ids.next_event_id for number in stored.events)
        for number, event in before.items():
            assert stored.events[number].start_frame == event.start_frame
            if event.state == "ended":
                assert stored.events[number] == event
        if end is not None:
            stored.spoil(end.damage)
    assert {event.state for event in stored.events.values()} <= {"ended"}
    told = {_told(event) for event in undisturbed(rules, recording).events.values()}
    # What was open when a state was lost has ended there; since then, all is as if nothing had happened.
    assert {_told(event) for event in stored.events.values() if event.event_id >= ids.next_event_id} <= told


def _told(event: Event) -> tuple[object, ...]:
    """All of an event but its ids."""
    return tuple(
        getattr(event, name) for name in event.__struct_fields__ if name not in ("event_id", "track_id")
    )

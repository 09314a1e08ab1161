"""Events and track ids of a scenario that was disturbed are those of an undisturbed one."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from anyio import create_task_group
from msgspec.structs import replace

from app.detectors.base import Detector, UnusableError
from app.domain.analysis import Alert, Line, Notify, Presence, Tracking, Zone
from app.domain.event import Event
from app.domain.picture import Picture
from app.domain.prediction import Detection, Prediction
from app.domain.reason import ScenarioWarning
from app.domain.spec import ScenarioSpec
from app.messages import RunFailed, RunFinished, RunReleased, RunStopped
from app.postgres import Database
from app.predictions.codec import decode
from app.predictions.events import decode_event
from app.runner import run as run_module
from app.runner.analysing import step as analysing
from tests.runner.runs import LIVE, World, executing, spec
from tests.support.clips import marker_clip, truncate
from tests.support.waiting import until

SIX_HUNDRED_FRAMES = "test:testsrc2?size=320x180&rate=100&duration=6"
STORED = ("current_events", "event_id"), ("predictions", "frame"), ("deliveries", "event_id")


class Walkers(Detector):
    """Finds people who walk to and fro, and cars that drive by; sometimes it misses one."""

    works_until = 10**9

    def detect(self, _picture: Picture, frame: int) -> tuple[Detection, ...]:
        if frame >= self.works_until:
            raise UnusableError("the detector is out of order")
        time.sleep(0.006)
        found = []
        for number, label in enumerate(("person", "person", "car")):
            at = (frame * (1 + number) + 150 * number) % 560
            x = at if at < 280 else 560 - at
            is_away = label == "car" and frame // 150 % 2
            if not is_away and Random(f"{number}:{frame}").random() > 0.1:
                y = 20.0 + 50 * number
                confidence = 0.5 + 0.3 * ((frame * 7 + number) % 10) / 10
                found.append(Detection(label, confidence, (x, y, x + 37.3, y + 40)))
        return tuple(found)


def watched(source: str) -> ScenarioSpec:
    """A specification with everything that events can tell."""
    gap = 10.0 if source == LIVE else 0.3  # a test must not depend on how fast a run begins
    return replace(
        spec(source),
        tracking=Tracking(max_gap_seconds=gap),
        presence=Presence(max_gap_seconds=gap),
        zones=(Zone("yard", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))),),
        lines=(Line("door", (0.6, 0.0), (0.6, 1.0)),),
        alerts=(
            Alert("visitor", zone="yard", min_seconds=0.2, cooldown_seconds=0.5),
            Alert("passer", line="door"),
        ),
        notify=Notify(("ops",), on=("alert", "object", "zone", "line", "presence"), recordings=True),
    )


@pytest.fixture(autouse=True)
def walkers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "make_detector", lambda *_: Walkers())


@pytest.fixture
def new_world(threaded: World) -> Callable[[], World]:
    return lambda: World(threaded.database, threaded._clips)


async def outcome(world: World) -> tuple[list[Event], list[Prediction], list[int]]:
    """What is stored: events, predictions, and the events that are told."""
    async with world.database.connection() as connection:
        events, frames, told = [
            await connection.fetch(
                f"SELECT * FROM {table} WHERE scenario_id = $1 ORDER BY {order}",  # noqa: S608
                world.scenario_id,
            )
            for table, order in STORED
        ]
    return (
        [decode_event(row) for row in events],
        [decode(row) for row in frames],
        [row["event_id"] for row in told],
    )


async def killed_after(world: World, frames: int, attempt: int, source: str = SIX_HUNDRED_FRAMES) -> None:
    """Execute an attempt that is gone without a word once it has stored so many frames."""

    async def is_stored() -> bool:
        return len(await world.stored()) >= frames

    async with create_task_group() as group:
        group.start_soon(world.run(watched(source), attempt=attempt).execute)
        await until(is_stored, timeout=30)
        group.cancel_scope.cancel()


async def stopped_after(
    world: World, frames: int, attempt: int, how: Any, source: str = SIX_HUNDRED_FRAMES
) -> None:
    async def is_stored() -> bool:
        return len(await world.stored()) >= frames

    run = world.run(watched(source), attempt=attempt)
    async with executing(run):
        await until(is_stored, timeout=30)
        run.stop(how)


async def released_after(world: World, frames: int, attempt: int, source: str) -> None:
    await stopped_after(world, frames, attempt, "release", source)


async def failed_after(world: World, frames: int, attempt: int, source: str = SIX_HUNDRED_FRAMES) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Walkers, "works_until", frames)
        await world.run(watched(source), attempt=attempt).execute()
    assert isinstance(world.events[-1], RunFailed)


async def states(world: World) -> set[str]:
    return {event.state for event in (await outcome(world))[0]}


async def change(world: World, columns: str) -> None:
    async with world.database.connection() as connection:
        await connection.execute(
            f"UPDATE checkpoints SET {columns} WHERE scenario_id = $1",  # noqa: S608
            world.scenario_id,
        )


@pytest.mark.parametrize(("pace", "save_every"), [(0.25, 10.0), (0.02, 0.1)])
async def test_a_recording_whose_runs_were_killed_has_the_events_of_an_undisturbed_one(
    new_world: Callable[[], World], monkeypatch: pytest.MonkeyPatch, pace: float, save_every: float
) -> None:
    undisturbed, disturbed = new_world(), new_world()
    await undisturbed.run(watched(SIX_HUNDRED_FRAMES)).execute()
    monkeypatch.setattr(run_module, "PACE", pace)
    monkeypatch.setattr(analysing, "SAVE_EVERY", save_every)
    for attempt, frames in enumerate((1, 40, 200, 330, 500), 1):
        await killed_after(disturbed, frames, attempt)
    assert (await disturbed.checkpoint())["open_events"]
    await disturbed.run(watched(SIX_HUNDRED_FRAMES), attempt=6).execute()
    assert isinstance(disturbed.events[-1], RunFinished)
    expected, found = await outcome(undisturbed), await outcome(disturbed)
    assert found == expected
    assert {event.kind for event in expected[0]} == {"object", "zone", "line", "presence", "alert"}
    assert {event.state for event in expected[0]} == {"ended"}
    assert [event.event_id for event in expected[0]] == list(range(1, len(expected[0]) + 1))
    assert expected[2] == [event.event_id for event in expected[0]]
    checkpoint = await disturbed.checkpoint()
    assert (checkpoint["open_events"], checkpoint["analysis_state"]) == ([], b"")


async def test_the_open_events_of_a_stopped_or_failed_recording_are_interrupted_until_it_is_resumed(
    new_world: Callable[[], World],
) -> None:
    undisturbed, stopped = new_world(), new_world()
    await undisturbed.run(watched(SIX_HUNDRED_FRAMES)).execute()
    await stopped_after(stopped, 100, 1, "stop")
    assert isinstance(stopped.events[-1], RunStopped)
    assert "interrupted" in await states(stopped)
    assert "open" not in await states(stopped)
    await killed_after(stopped, len(await stopped.stored()) + 1, 2)
    assert "open" in await states(stopped)
    assert "interrupted" not in await states(stopped)
    await stopped_after(stopped, 300, 3, "release")
    assert isinstance(stopped.events[-1], RunReleased)
    assert "interrupted" not in await states(stopped)
    assert "open" in await states(stopped)
    await failed_after(stopped, 400, 4)
    assert len(await stopped.stored()) == 400
    assert "interrupted" in await states(stopped)
    assert "open" not in await states(stopped)
    await stopped.run(watched(SIX_HUNDRED_FRAMES), attempt=5).execute()
    assert await outcome(stopped) == await outcome(undisturbed)


async def test_events_do_not_stay_open_if_the_recording_was_replaced(
    new_world: Callable[[], World], threaded: World
) -> None:
    """Nothing was stored by the attempt that finds it out, so no batch ends them."""
    world, path = new_world(), threaded._clips / "replaced.mp4"
    marker_clip(path, frames=600)
    await killed_after(world, 100, 1, path.name)
    assert "open" in await states(world)
    marker_clip(path, frames=300)
    await world.run(watched(path.name), attempt=2).execute()
    ended = world.events[-1]
    assert isinstance(ended, RunFailed)
    assert "the recording is another one" in ended.error
    assert "interrupted" in await states(world)
    assert "open" not in await states(world)


async def test_a_stop_before_the_analysis_is_ready_settles_what_a_killed_run_left_open(
    new_world: Callable[[], World],
) -> None:
    for source, state in ((SIX_HUNDRED_FRAMES, "interrupted"), (LIVE, "ended")):
        world = new_world()
        await killed_after(world, 60, 1, source)
        run = world.run(watched(source), attempt=2)
        run.stop("stop")
        await run.execute()
        assert isinstance(world.events[-1], RunStopped)
        assert state in await states(world)
        assert "open" not in await states(world)


@pytest.mark.parametrize("damage", ["analysis_state = '\\x00'", "next_event_id = next_event_id + 5"])
async def test_a_recording_s_analysis_that_cannot_be_read_is_made_again_under_new_ids(
    new_world: Callable[[], World], damage: str
) -> None:
    undisturbed, damaged = new_world(), new_world()
    await undisturbed.run(watched(SIX_HUNDRED_FRAMES)).execute()
    await stopped_after(damaged, 300, 1, "stop")
    before = (await outcome(damaged))[0]
    await change(damaged, damage)
    next_id = (await damaged.checkpoint())["next_event_id"]
    await damaged.run(watched(SIX_HUNDRED_FRAMES), attempt=2).execute()
    after = (await outcome(damaged))[0]
    kept = [replace(event, state="ended") for event in before]
    assert after[: len(before)] == kept
    new = after[len(before) :]
    assert new
    assert all(event.event_id >= next_id for event in new)
    assert {event.state for event in after} == {"ended"}
    # What went on has begun before, and is told of with the same beginning and end.
    expected = {
        (event.kind, event.name, event.start_frame, event.end_frame)
        for event in (await outcome(undisturbed))[0]
    }
    assert {(event.kind, event.name, event.start_frame, event.end_frame) for event in new} <= expected


async def test_a_live_source_s_events_end_when_it_is_stopped(new_world: Callable[[], World]) -> None:
    world = new_world()
    await stopped_after(world, 60, 1, "stop", LIVE)
    events = (await outcome(world))[0]
    assert events
    assert {event.state for event in events} == {"ended"}
    await stopped_after(world, 120, 2, "stop", LIVE)
    assert (await outcome(world))[0][: len(events)] == events
    assert len((await outcome(world))[0]) > len(events)


@pytest.mark.parametrize("end", [killed_after, released_after, failed_after])
async def test_a_live_source_that_is_back_within_a_minute_goes_on_with_its_events(
    new_world: Callable[[], World], end: Any
) -> None:
    world = new_world()
    await end(world, 60, 1, LIVE)
    open_events = set((await world.checkpoint())["open_events"])
    assert open_events
    first_end = (await world.checkpoint())["next_frame"]
    kept = {event.event_id for event in (await outcome(world))[0]}
    await end(world, 120, 2, LIVE)
    after = (await outcome(world))[0]
    (people,) = [event for event in after if (event.kind, event.label) == ("presence", "person")]
    assert people.event_id in open_events
    assert people.end_frame > first_end
    assert kept <= {event.event_id for event in after}


@pytest.mark.parametrize("damage", ["position_seconds = position_seconds - 61", "analysis_state = '\\x00'"])
async def test_a_live_source_begins_anew_after_a_minute_or_with_a_damaged_state(
    new_world: Callable[[], World], damage: str
) -> None:
    world = new_world()
    await stopped_after(world, 60, 1, "release", LIVE)
    before = (await outcome(world))[0]
    assert "open" in {event.state for event in before}
    await change(world, damage)
    await stopped_after(world, 120, 2, "release", LIVE)
    after = (await outcome(world))[0]
    assert after[: len(before)] == [replace(event, state="ended") for event in before]
    assert "open" in {event.state for event in after[len(before) :]}


@pytest.mark.parametrize("has_tracking", [True, False])
async def test_the_events_of_a_recording_that_is_cut_off_end_with_its_last_frame(
    predictions: Database, tmp_path: Path, has_tracking: bool
) -> None:
    truncate(marker_clip(tmp_path / "whole.mkv", frames=60), 0.5, tmp_path / "cut.mkv")
    world = World(predictions, tmp_path)
    labels_only = replace(spec("cut.mkv"), presence=Presence(), alerts=(Alert("seen", labels=("car",)),))
    await world.run(watched("cut.mkv") if has_tracking else labels_only).execute()
    assert isinstance(world.events[-1], RunFinished)
    events, frames, _ = await outcome(world)
    assert 0 < len(frames) < 60
    assert {event.state for event in events} == {"ended"}
    if not has_tracking:
        assert {event.kind for event in events} == {"presence", "alert"}
        ids = {event.track_id for event in events}
        assert ids | {one.track_id for frame in frames for one in frame.detections} == {None}
    last = max(event.end_frame for event in events)
    assert (last, (await world.checkpoint())["open_events"]) == (frames[-1].frame, [])


class Crowd(Detector):
    """Finds more objects and labels than are followed."""

    def detect(self, _picture: Picture, frame: int) -> tuple[Detection, ...]:
        return tuple(
            Detection(f"label {n % 65}", 0.9, (x, y, x + 8.0, y + 8.0))
            for n in range(301)
            for x, y in [(10.0 * (n % 32) + frame % 2, 12.0 * (n // 32))]
        )


async def test_each_bound_that_is_met_is_told_once_over_runs(
    new_world: Callable[[], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "make_detector", lambda *_: Crowd())
    world = new_world()
    for attempt in (1, 2, 3):
        await stopped_after(world, 4 * attempt, attempt, "release", LIVE)
        if attempt == 2:
            await change(world, "analysis_state = '\\x00'")
    told = msgspec.json.decode((await world.checkpoint())["warnings"], type=list[ScenarioWarning])
    found = [re.findall(r"More than (\d+ \w+)", one.text) for one in told if one.code == "analysis_limited"]
    assert found == [["300 objects"], ["64 labels"]]
    shown = {event.label for event in (await outcome(world))[0] if event.kind == "presence"}
    assert len(shown) == 64


async def test_without_analysis_nothing_of_it_is_stored(new_world: Callable[[], World]) -> None:
    world = new_world()
    await world.run(spec(SIX_HUNDRED_FRAMES)).execute()
    events, frames, told = await outcome(world)
    assert (events, told, len(frames)) == ([], [], 600)
    assert all(detection.track_id is None for frame in frames for detection in frame.detections)
    checkpoint = await world.checkpoint()
    assert (checkpoint["analysis_state"], checkpoint["next_event_id"]) == (None, 1)

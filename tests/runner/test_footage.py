"""Footage that another scenario stored is asked again: its events are those of one analysis of all frames."""

from collections.abc import Callable
from random import Random
from typing import Literal
from uuid import UUID, uuid4

import pytest
from anyio import create_task_group, sleep_forever
from msgspec.structs import replace

from app.analysis.analysis import Analysis
from app.domain.analysis import Alert, Line, Presence, Tracking, Zone
from app.domain.detector_config import Stored
from app.domain.event import Carried, Event
from app.domain.prediction import Detection, FrameSize, Prediction
from app.domain.spec import ScenarioSpec
from app.messages import RunFailed, RunFinished, RunReleased, RunStopped
from app.postgres import Database
from app.predictions.checkpoint import AnalysisUpdate, Batch
from app.predictions.codec import as_stored
from app.predictions.events import decode_event
from app.runner import footage
from app.runner.cleanup import purge, retention
from app.runner.storing import replay, stored_frames
from app.runner.storing.fenced_store import FencedStore
from tests.runner.runs import World
from tests.support.batches import as_batch
from tests.support.checkpoints import claim, new_fence, write

FRAMES = 500
SIZE = (320, 180)
SPEC = ScenarioSpec(
    "",
    Stored(),
    None,
    tracking=Tracking(max_gap_seconds=0.3),
    presence=Presence(max_gap_seconds=0.3),
    zones=(Zone("yard", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))),),
    lines=(Line("door", (0.6, 0.0), (0.6, 1.0)),),
    alerts=(Alert("visitor", zone="yard", min_seconds=0.2), Alert("passer", line="door", cooldown_seconds=2)),
)


def seen(frame: int) -> Prediction:
    """People who walk to and fro and are missed now and then; every 50th frame could not be decoded."""
    if frame % 50 == 49:
        return Prediction(frame, frame / 20, (), "lost")
    found = []
    for number in range(3):
        at = (frame * (1 + number) + 150 * number) % 560
        x, y = float(at if at < 280 else 560 - at), 20.0 + 50 * number
        if Random(f"{number}:{frame}").random() > 0.1:
            found.append(Detection("person", 0.5 + 0.01 * (frame % 40), (x, y, x + 37.3, y + 40)))
    return Prediction(frame, frame / 20, as_stored(found))


def tracked(frames: list[Prediction]) -> list[Prediction]:
    """The frames as a scenario with tracking stores them."""
    analysis = Analysis(replace(SPEC.rules, zones=(), lines=(), alerts=()))
    return [
        one
        if one.error
        else replace(one, detections=analysis.step(one.frame, one.time, SIZE, one.detections).detections)
        for one in frames
    ]


PLAIN = [seen(frame) for frame in range(FRAMES)]
TRACKED = tracked(PLAIN)


async def store(
    database: Database, frames: list[Prediction], *, next_track_id: int = 1, is_live: bool = False
) -> UUID:
    """Store the footage as a run does, and return its scenario."""
    fence = new_fence(scenario_id=uuid4())
    await claim(database, fence)
    batch = replace(
        as_batch(0, len(frames), frames),
        new_sizes=(FrameSize(0, *SIZE),),
        position_seconds=frames[-1].time,
        analysis=AnalysisUpdate(Carried(next_track_id)),
        is_live=is_live,
    )
    assert await write(database, fence, batch)
    return fence.scenario_id


def expected(frames: list[Prediction], *, has_stored_tracks: bool) -> list[Event]:
    """The events of one analysis that sees all frames."""
    analysis = Analysis(SPEC.rules, has_stored_tracks=has_stored_tracks)
    events: dict[int, Event] = {}
    for one in frames:
        if one.error is None:
            for event in analysis.step(one.frame, one.time, SIZE, one.detections).events:
                events[event.event_id] = event
    for event in analysis.end("ended"):
        events[event.event_id] = event
    return list(events.values())


async def events_of(world: World) -> list[Event]:
    async with world.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM current_events WHERE scenario_id = $1 ORDER BY event_id", world.scenario_id
        )
    return [decode_event(row) for row in rows]


def asking(source_id: UUID, detector: Stored = SPEC.detector) -> ScenarioSpec:  # type: ignore[assignment]
    return replace(SPEC, source=f"scenario:{source_id}", detector=detector)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_frames, "PAGE", 40)
    monkeypatch.setattr(replay, "PAGE", 40)
    monkeypatch.setattr(footage, "PAGE", 40)


async def run_batches(
    world: World, spec: ScenarioSpec, attempt: int, count: int, how: Literal["stop", "release", "kill"]
) -> None:
    """Execute an attempt that is stopped, released or killed when it has stored so many batches."""
    run = world.run(spec, attempt=attempt)
    original = FencedStore.store

    async with create_task_group() as group:

        async def store_some(self: FencedStore, batch: Batch) -> None:
            nonlocal count
            await original(self, batch)
            count -= 1
            if not count and how == "kill":
                group.cancel_scope.cancel()
                await sleep_forever()
            elif not count:
                run.stop(how)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FencedStore, "store", store_some)
            await run.execute()


@pytest.mark.parametrize(
    ("frames", "detector", "has_stored_tracks"),
    [
        (TRACKED, Stored(), True),
        (TRACKED, Stored(track_ids="new"), False),
        (PLAIN, Stored(), False),
    ],
)
async def test_its_events_are_those_of_an_analysis_of_all_frames(
    threaded: World, frames: list[Prediction], detector: Stored, has_stored_tracks: bool
) -> None:
    source_id = await store(threaded.database, frames, next_track_id=9 if frames is TRACKED else 1)
    await threaded.run(asking(source_id, detector)).execute()
    found = await events_of(threaded)
    assert found == expected(frames, has_stored_tracks=has_stored_tracks)
    assert {event.kind for event in found} == {"object", "zone", "line", "presence", "alert"}
    ended = threaded.events[-1]
    assert isinstance(ended, RunFinished)
    assert ended.media is not None
    assert (ended.media.width, ended.media.height, ended.media.frames) == (*SIZE, FRAMES)
    assert await threaded.stored() == []
    checkpoint = await threaded.checkpoint()
    assert (checkpoint["finished"], checkpoint["next_frame"], checkpoint["frames_sampled"]) == (
        True,
        FRAMES,
        FRAMES - 10,
    )
    assert checkpoint["position_seconds"] == frames[-1].time
    assert (checkpoint["open_events"], checkpoint["analysis_state"]) == ([], b"")


@pytest.mark.usefixtures("small_pages")
async def test_killed_stopped_and_released_runs_give_the_events_of_an_undisturbed_one(
    threaded: World,
) -> None:
    source_id = await store(threaded.database, TRACKED, next_track_id=9)
    spec = asking(source_id)
    await run_batches(threaded, spec, 1, 1, "kill")
    assert "open" in {event.state for event in await events_of(threaded)}
    await run_batches(threaded, spec, 2, 3, "stop")
    assert isinstance(threaded.events[-1], RunStopped)
    states = {event.state for event in await events_of(threaded)}
    assert "interrupted" in states
    assert "open" not in states
    await run_batches(threaded, spec, 3, 2, "release")
    assert isinstance(threaded.events[-1], RunReleased)
    assert "open" in {event.state for event in await events_of(threaded)}
    await run_batches(threaded, spec, 4, 2, "kill")
    assert (await threaded.checkpoint())["next_frame"] < FRAMES
    await threaded.run(spec, attempt=5).execute()
    assert isinstance(threaded.events[-1], RunFinished)
    assert await events_of(threaded) == expected(TRACKED, has_stored_tracks=True)


@pytest.mark.usefixtures("small_pages")
async def test_a_damaged_state_is_made_again_from_the_footage(threaded: World) -> None:
    source_id = await store(threaded.database, TRACKED, next_track_id=9)
    await run_batches(threaded, asking(source_id), 1, 5, "stop")
    before = await events_of(threaded)
    async with threaded.database.connection() as connection:
        await connection.execute("UPDATE checkpoints SET analysis_state = '\\x00' WHERE footage IS NOT NULL")
    await threaded.run(asking(source_id), attempt=2).execute()
    after = await events_of(threaded)
    assert after[: len(before)] == [replace(event, state="ended") for event in before]
    spans = {(event.kind, event.track_id, event.start_frame, event.end_frame) for event in after}
    wanted = expected(TRACKED, has_stored_tracks=True)
    assert {(one.kind, one.track_id, one.start_frame, one.end_frame) for one in wanted} <= spans


@pytest.mark.usefixtures("small_pages")
async def test_what_is_stored_after_the_first_claim_is_not_asked(threaded: World) -> None:
    fence = new_fence(scenario_id=uuid4())
    await claim(threaded.database, fence)
    first = replace(as_batch(0, 300, PLAIN[:300]), new_sizes=(FrameSize(0, *SIZE),))
    await write(threaded.database, fence, first)
    await run_batches(threaded, asking(fence.scenario_id), 1, 2, "release")
    sizes = (FrameSize(300, 64, 36),)
    await write(threaded.database, fence, replace(as_batch(300, 500, PLAIN[300:]), new_sizes=sizes))
    await threaded.run(asking(fence.scenario_id), attempt=2).execute()
    assert await events_of(threaded) == expected(PLAIN[:300], has_stored_tracks=False)
    assert (await threaded.checkpoint())["next_frame"] == 300


async def delete(database: Database, source_id: UUID) -> None:
    async with database.transaction() as connection:
        await purge.leave_tombstone(connection, source_id)


async def remove_block(database: Database, source_id: UUID) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE checkpoints SET purged_before = 400 WHERE scenario_id = $1", source_id
        )
        await connection.execute("DELETE FROM predictions WHERE scenario_id = $1 AND frame < 400", source_id)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize(("remove", "reason"), [(delete, "was deleted"), (remove_block, "were removed")])
async def test_footage_that_is_removed_meanwhile_fails_with_the_reason(
    threaded: World, remove: Callable[[Database, UUID], object], reason: str
) -> None:
    source_id = await store(threaded.database, PLAIN)
    await run_batches(threaded, asking(source_id), 1, 5, "release")
    assert "open" in {event.state for event in await events_of(threaded)}
    await remove(threaded.database, source_id)  # type: ignore[misc]
    await threaded.run(asking(source_id), attempt=2).execute()
    failed = threaded.events[-1]
    assert isinstance(failed, RunFailed)
    assert reason in failed.error
    assert not failed.retryable
    assert "open" not in {event.state for event in await events_of(threaded)}
    assert (await threaded.checkpoint())["next_frame"] < 400


@pytest.mark.parametrize(("is_deleted", "reason"), [(False, "no stored frames"), (True, "was deleted")])
async def test_footage_that_is_not_there_fails_with_the_reason(
    threaded: World, is_deleted: bool, reason: str
) -> None:
    source_id = uuid4()
    if is_deleted:
        await delete(threaded.database, source_id)
    await threaded.run(asking(source_id)).execute()
    failed = threaded.events[-1]
    assert isinstance(failed, RunFailed)
    assert reason in failed.error
    assert failed.retryable is not is_deleted


async def test_the_footage_of_a_live_source_has_dates_and_events_that_expire(threaded: World) -> None:
    database = threaded.database
    source_id = await store(database, TRACKED, next_track_id=9, is_live=True)
    async with database.connection() as connection:  # the oldest frames were removed
        await connection.execute("UPDATE checkpoints SET purged_before = 100")
        await connection.execute("DELETE FROM predictions WHERE frame < 100")
    await threaded.run(asking(source_id)).execute()
    assert await events_of(threaded) == expected(TRACKED[100:], has_stored_tracks=True)
    media = threaded.events[-1].media  # type: ignore[union-attr]
    assert media is not None
    assert (media.frames, media.live) == (FRAMES - 100, False)
    async with database.connection() as connection:
        ats = await connection.fetch("SELECT extract(epoch FROM at) AS at, start_time FROM events")
        assert ats
        assert all(abs(float(row["at"]) - row["start_time"]) < 1e-5 for row in ats)
        assert threaded.scenario_id in await retention.live_scenarios(connection)
        assert await retention.remove_old_events(connection, threaded.scenario_id, 3600) == len(ats)
        assert await retention.remove_oldest_block(connection, threaded.scenario_id, 3600) == 0

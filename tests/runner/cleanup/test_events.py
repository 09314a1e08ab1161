"""Events that are abandoned, too old, or of a deleted scenario."""

import time

import pytest
from msgspec.structs import replace

from app.domain.event import Carried, Event
from app.postgres import Database
from app.predictions.checkpoint import AnalysisUpdate, Batch, OpenEvent, SavedAnalysis
from app.runner.cleanup import abandoned_events, purge, retention
from app.runner.storing.waits import note_alive
from tests.support.batches import batch
from tests.support.checkpoints import SCENARIO, claim, new_fence, write

STAY = Event(1, "object", "open", "car", 7, None, None, 3, 0.1, 9, 0.3, 5, 0.2, (1.0, 2.0, 3.0, 4.0), 0.5)


def with_events(plain: Batch, *events: Event, saved: SavedAnalysis | None = None) -> Batch:
    open_events = tuple(
        OpenEvent(event.event_id, event.end_frame, event.end_time)
        for event in events
        if event.state != "ended"
    )
    return replace(plain, analysis=AnalysisUpdate(Carried(9, 99), events, open_events, saved))


async def states(database: Database) -> dict[int, str]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT event_id, state FROM events WHERE scenario_id = $1", SCENARIO)
    return {row["event_id"]: row["state"] for row in rows}


async def ends(database: Database) -> dict[int, tuple[int, float]]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM events WHERE scenario_id = $1", SCENARIO)
    return {row["event_id"]: (row["end_frame"], row["end_time"]) for row in rows}


async def settle(database: Database) -> int:
    async with database.connection() as connection:
        return await abandoned_events.settle(connection, abandoned_events.ABANDONED)


async def make_old(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE checkpoints SET updated_at = now() - interval '11 minutes'")


@pytest.mark.parametrize(("is_live", "state"), [(False, "interrupted"), (True, "ended")])
async def test_events_without_a_run_are_settled_after_ten_minutes(
    predictions: Database, is_live: bool, state: str
) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    plain = replace(batch(0, 10), is_live=is_live)
    ended = replace(STAY, event_id=2, state="ended")
    await write(predictions, fence, with_events(plain, STAY, ended, saved=SavedAnalysis(10, b"state")))
    goes_on = AnalysisUpdate(Carried(9, 99), (), (OpenEvent(1, 19, 0.6),))
    await write(predictions, fence, replace(batch(10, 20), is_live=is_live, analysis=goes_on))
    assert await settle(predictions) == 0
    await make_old(predictions)
    async with predictions.connection() as connection:
        await note_alive(connection, fence)
    assert await settle(predictions) == 0
    await make_old(predictions)
    assert await settle(predictions) == 1
    assert await settle(predictions) == 0
    assert await states(predictions) == {1: state, 2: "ended"}
    assert await ends(predictions) == {1: (19, 0.6), 2: (9, 0.3)}
    claimed = await claim(predictions, new_fence(2))
    assert claimed is not None
    assert claimed.open_events == (() if is_live else (OpenEvent(1, 19, 0.6),))
    assert claimed.analysis == (SavedAnalysis(20) if is_live else SavedAnalysis(10, b"state"))
    assert claimed.carried.next_event_id == 99


async def test_old_events_of_a_live_source_are_removed_unless_they_are_open(predictions: Database) -> None:
    fence, now = new_fence(), time.time()
    await claim(predictions, fence)
    old = replace(STAY, start_time=now - 7200, end_time=now - 7100, best_time=now - 7100)
    events = [
        replace(old, event_id=1, state="ended"),
        replace(old, event_id=2, state="open"),
        replace(old, event_id=3, state="ended", end_time=now - 60),
        replace(old, event_id=4, state="ended", start_time=now - 60, end_time=now - 50),
    ]
    await write(predictions, fence, with_events(replace(batch(0, 10), is_live=True), *events))
    async with predictions.connection() as connection:
        removed = [await retention.remove_old_events(connection, SCENARIO, 3600) for _ in range(2)]
    assert removed == [1, 0]
    assert sorted(await states(predictions)) == [2, 3, 4]


async def test_frames_that_a_resumed_run_would_replay_are_kept(predictions: Database) -> None:
    block, now = 1024, time.time()
    fence = new_fence()
    await claim(predictions, fence)
    long_ago = [replace(each, time=now - 7200) for each in batch(0, 3 * block).predictions]
    plain = replace(batch(0, 3 * block), predictions=long_ago, is_live=True)
    await write(predictions, fence, with_events(plain, saved=SavedAnalysis(block + 10, b"state")))
    async with predictions.connection() as connection:
        removed = [await retention.remove_oldest_block(connection, SCENARIO, 3600) for _ in range(2)]
    assert removed == [block, 0]


@pytest.mark.parametrize(("frames", "events"), [(25, 4), (4, 25), (0, 20)])
async def test_events_of_a_deleted_scenario_are_removed_in_steps(
    predictions: Database, frames: int, events: int
) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    found = [replace(STAY, event_id=number) for number in range(1, events + 1)]
    await write(predictions, fence, with_events(batch(0, frames), *found, saved=SavedAnalysis(0, b"state")))
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
        removed = []
        while await purge.next_deleted_scenario(connection):
            removed.append(await purge.remove_rows(connection, SCENARIO, 10))
            assert len(removed) < 5
        left = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM predictions), analysis_state"
            "  FROM checkpoints WHERE scenario_id = $1",
            SCENARIO,
        )
    assert removed == [10, 10, max(frames, events) - 20]
    assert left is not None
    assert tuple(left) == (0, 0, None)

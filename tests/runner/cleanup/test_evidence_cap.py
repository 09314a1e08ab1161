"""Pictures of events: bounded in bytes, and gone with their events."""

import time
from collections.abc import Sequence
from uuid import UUID, uuid4

from anyio import create_task_group
from msgspec.structs import replace
from structlog.testing import capture_logs

from app.domain.event import Carried
from app.postgres import Database
from app.predictions.checkpoint import AnalysisUpdate, Fence
from app.predictions.evidence import NewPicture
from app.runner.cleanup import purge, retention
from app.runner.cleanup.evidence_cap import bound_evidence, count_bytes, remove_excess
from app.runner.metrics import EVIDENCE_SIZE, REMOVED_PICTURES
from tests.support.batches import batch
from tests.support.checkpoints import claim, write
from tests.support.deliveries import event
from tests.support.waiting import until


async def add_pictures(
    database: Database, *times: float, size: int = 1000, frames: Sequence[int] = range(1, 100)
) -> UUID:
    """Store an object with a picture for each time, in Unix time, of a new live source."""
    fence = Fence(uuid4(), 1, uuid4())
    await claim(database, fence)
    events = [event(number, kind="object", end_time=at) for number, at in enumerate(times, 1)]
    pictures = [
        NewPicture(each.event_id, frame, each.end_time, 1.0, (64, 36), (0.0, 0.0, 1.0, 1.0), bytes(size))
        for each, frame in zip(events, frames, strict=False)
    ]
    update = AnalysisUpdate(Carried(9, 99), tuple(events), pictures=tuple(pictures))
    assert await write(database, fence, replace(batch(0, 10), is_live=True, analysis=update))
    return fence.scenario_id


async def left(database: Database, scenario_id: UUID) -> list[int]:
    """The events that have a picture."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT event_id FROM event_pictures WHERE scenario_id = $1 ORDER BY 1", scenario_id
        )
    return [row["event_id"] for row in rows]


async def removed(database: Database, most: int, limit: int = 100) -> int:
    async with database.transaction() as connection:
        return await remove_excess(connection, most, limit)


async def test_the_oldest_pictures_of_all_scenarios_are_removed_first_and_no_more_than_needed(
    predictions: Database,
) -> None:
    one = await add_pictures(predictions, 10.0, 30.0, 50.0)
    other = await add_pictures(predictions, 20.0, 40.0, 60.0)
    async with predictions.connection() as connection:
        assert await count_bytes(connection) == 6000
    assert await removed(predictions, 6000) == 0
    assert await removed(predictions, 3500, limit=2) == 2
    assert await removed(predictions, 3500, limit=2) == 1
    assert await removed(predictions, 3500, limit=2) == 0
    assert (await left(predictions, one), await left(predictions, other)) == ([3], [2, 3])
    async with predictions.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM events") == 6
    assert await removed(predictions, 0) == 3


async def test_a_picture_that_two_events_share_counts_once_and_is_removed_from_both(
    predictions: Database,
) -> None:
    shared = await add_pictures(predictions, 10.0, 10.0, 30.0, frames=(4, 4, 6))
    async with predictions.connection() as connection:
        assert await count_bytes(connection) == 2000
    assert await removed(predictions, 1999) == 1
    assert await left(predictions, shared) == [3]
    async with predictions.connection() as connection:
        assert await count_bytes(connection) == 1000


async def test_two_runners_do_not_remove_twice_as_much(predictions: Database) -> None:
    one = await add_pictures(predictions, 10.0, 20.0, 30.0)
    async with predictions.transaction() as connection:
        assert await remove_excess(connection, 2000, 100) == 1
        assert await removed(predictions, 2000) == 0
    assert await left(predictions, one) == [2, 3]


async def test_what_is_removed_is_logged_and_counted(predictions: Database) -> None:
    await add_pictures(predictions, 10.0, 20.0, 30.0)
    before = REMOVED_PICTURES._value.get()
    with capture_logs() as logs:
        async with create_task_group() as tasks:
            tasks.start_soon(bound_evidence, predictions, 1500)
            await until(lambda: any(line["event"].startswith("removed the oldest") for line in logs))
            tasks.cancel_scope.cancel()
    (line,) = [line for line in logs if line["event"].startswith("removed the oldest")]
    assert (line["pictures"], line["max_bytes"]) == (2, 1500)
    assert REMOVED_PICTURES._value.get() - before == 2
    assert EVIDENCE_SIZE._value.get() == 1000


async def test_a_picture_is_kept_as_long_as_its_event(predictions: Database) -> None:
    now = time.time()
    scenario_id = await add_pictures(predictions, now - 7200, now - 60)
    async with predictions.connection() as connection:
        assert await retention.remove_old_events(connection, scenario_id, 3600) == 1
    assert await left(predictions, scenario_id) == [2]


async def test_the_pictures_of_a_deleted_scenario_are_removed_with_its_events(predictions: Database) -> None:
    deleted = await add_pictures(predictions, *range(25))
    other = await add_pictures(predictions, 1.0)
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, deleted)
        await purge.remove_rows(connection, deleted, 10)
        assert len(await left(predictions, deleted)) == 15
        while await purge.next_deleted_scenario(connection):
            await purge.remove_rows(connection, deleted, 10)
    assert (await left(predictions, deleted), await left(predictions, other)) == ([], [1])

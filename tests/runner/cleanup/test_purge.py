"""Deleted scenarios: the tombstone, and the removal of their rows."""

from uuid import UUID, uuid4

from app.domain.prediction import Prediction
from app.postgres import Database
from app.predictions.checkpoint import Fence
from app.predictions.codec import FRAMES_PER_BLOCK
from app.runner.cleanup import purge
from tests.support.batches import as_batch, batch
from tests.support.checkpoints import SCENARIO, claim, frames, new_fence, write


async def remove_rows(database: Database, limit: int) -> int | None:
    """How many rows of the scenario were removed, None if it is purged already."""
    async with database.transaction() as connection:
        found = await purge.next_deleted_scenario(connection)
        if found is None:
            return None
        assert found == SCENARIO
        return await purge.remove_rows(connection, found, limit)


async def test_a_deleted_scenario_accepts_no_claim_and_no_write(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
    assert await claim(predictions, new_fence(9)) is None
    assert not await write(predictions, fence, batch(0, 5))


async def test_a_scenario_without_a_checkpoint_gets_a_tombstone(predictions: Database) -> None:
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
        await purge.leave_tombstone(connection, SCENARIO)
    assert await claim(predictions, new_fence()) is None


async def test_only_rows_of_the_deleted_scenario_are_removed_and_in_batches(predictions: Database) -> None:
    fence, other = new_fence(), Fence(uuid4(), 1, uuid4())
    await claim(predictions, fence)
    await claim(predictions, other)
    await write(predictions, fence, batch(0, 25))
    await write(predictions, other, batch(0, 5))
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
    removed = [await remove_rows(predictions, 10) for _ in range(4)]
    assert removed == [10, 10, 5, None]
    async with predictions.connection() as connection:
        left: list[UUID] = [
            row["scenario_id"]
            for row in await connection.fetch("SELECT DISTINCT scenario_id FROM predictions")
        ]
    assert left == [other.scenario_id]


async def test_no_row_of_a_purged_scenario_is_left(predictions: Database) -> None:
    fence, other = new_fence(), Fence(uuid4(), 1, uuid4())
    for each in (fence, other):
        await claim(predictions, each)
        await write(predictions, each, batch(0, 2 * FRAMES_PER_BLOCK + 5))
        async with predictions.connection() as connection:
            await connection.execute(
                "INSERT INTO timeline_sums VALUES ($1, '', 0, 1, 1, 1, 0)", each.scenario_id
            )
            await connection.execute(
                "INSERT INTO event_counts VALUES ($1, 'object', '', 'car', 1)", each.scenario_id
            )
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
    while await remove_rows(predictions, 700) is not None:
        pass
    async with predictions.connection() as connection:
        for table in ("label_blocks", "found_labels", "timeline_buckets", "timeline_sums", "event_counts"):
            left = await connection.fetch(f"SELECT DISTINCT scenario_id FROM {table}")  # noqa: S608
            assert [row["scenario_id"] for row in left] == [other.scenario_id]
    assert await frames(predictions) == []


async def test_a_frame_that_is_rounded_into_the_next_bucket_leaves_no_count(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    await write(predictions, fence, as_batch(0, 1, [Prediction(0, 14.999_999_9, ())]))
    async with predictions.connection() as connection:
        assert await connection.fetchval("SELECT bucket FROM timeline_buckets") == 1
        await purge.leave_tombstone(connection, SCENARIO)
    while await remove_rows(predictions, 700) is not None:
        pass
    async with predictions.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM timeline_buckets") == 0

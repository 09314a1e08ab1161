"""Timelines of what was stored without them."""

from typing import Any

from anyio import create_task_group
from msgspec import structs

from app.domain.prediction import Prediction
from app.postgres import Database
from app.predictions.timeline import TimelineCounts, count_timeline
from app.runner.cleanup import purge
from app.runner.storing import backfill
from tests.support.batches import as_batch, prediction
from tests.support.checkpoints import SCENARIO, claim, new_fence, write
from tests.support.waiting import until

FENCE = new_fence()


def video(start: int, end: int) -> list[Prediction]:
    """Every hundredth frame could not be decoded."""
    return [
        prediction(frame, frame % 4) if frame % 100 else Prediction(frame, frame / 30, (), "it is damaged")
        for frame in range(start, end)
    ]


async def add(predictions: Database, start: int, end: int) -> None:
    await claim(predictions, FENCE)
    assert await write(predictions, FENCE, as_batch(start, end, video(start, end)))


async def timeline(predictions: Database) -> list[tuple[Any, ...]]:
    async with predictions.connection() as connection:
        rows = await connection.fetch(
            "SELECT label, bucket, frames, detections, max_confidence, failed FROM timeline_buckets"
            " WHERE scenario_id = $1",
            SCENARIO,
        )
    return sorted(map(tuple, rows))


def as_rows(counts: TimelineCounts) -> list[tuple[Any, ...]]:
    return sorted(zip(*structs.astuple(counts), strict=True))


async def forget(predictions: Database) -> None:
    """Leave the scenario as a version without timelines does."""
    async with predictions.connection() as connection:
        await connection.execute("DELETE FROM timeline_buckets")
        await connection.execute("UPDATE checkpoints SET timeline_frame = 0")


async def fill(predictions: Database, rows: int) -> int:
    async with predictions.transaction() as connection:
        return await backfill.count_stored(connection, SCENARIO, rows)


async def test_batches_count_as_they_are_stored(predictions: Database) -> None:
    for start in range(0, 1000, 250):
        await add(predictions, start, start + 250)
    assert await timeline(predictions) == as_rows(count_timeline(video(0, 1000)))
    async with predictions.connection() as connection:
        assert await backfill.behind(connection) == []


async def test_what_was_stored_before_is_counted_once_while_batches_go_on(predictions: Database) -> None:
    await add(predictions, 0, 700)
    await forget(predictions)
    assert await fill(predictions, 300) == 300
    await add(predictions, 700, 1000)  # not counted: what is before is not yet
    assert await timeline(predictions) == as_rows(count_timeline(video(0, 300)))
    counted = [await fill(predictions, 300) for _ in range(4)]
    assert counted == [300, 300, 100, 0]
    await add(predictions, 1000, 1300)
    assert await timeline(predictions) == as_rows(count_timeline(video(0, 1300)))


async def test_runners_fill_timelines_by_themselves(predictions: Database) -> None:
    await add(predictions, 0, 100)
    await forget(predictions)

    async def is_filled() -> bool:
        return await timeline(predictions) == as_rows(count_timeline(video(0, 100)))

    async with create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(backfill.fill_timelines, predictions)
        await until(is_filled)
        tasks.cancel_scope.cancel()


async def test_deleted_scenarios_are_left_out(predictions: Database) -> None:
    await add(predictions, 0, 100)
    await forget(predictions)
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
        assert await backfill.behind(connection) == []
    assert await fill(predictions, 300) == 0
    assert await timeline(predictions) == []

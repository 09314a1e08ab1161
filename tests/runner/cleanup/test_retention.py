"""Old predictions of live sources are removed, one block at a time."""

import time

from anyio import create_task_group, move_on_after
from msgspec.structs import replace
from structlog.testing import capture_logs

from app.domain.prediction import Detection
from app.postgres import Database
from app.predictions.checkpoint import Batch
from app.predictions.codec import FRAMES_PER_BLOCK
from app.predictions.timeline import BUCKET_SECONDS
from app.runner.cleanup import purge, retention
from app.runner.metrics import EXPIRED
from tests.support.batches import as_batch, batch, prediction
from tests.support.checkpoints import SCENARIO, claim, frames, new_fence, write
from tests.support.waiting import until


def live(start: int, end: int, began: float) -> Batch:
    """Frames of a camera, one a second from `began`, in Unix time."""
    found = [replace(prediction(frame), time=began + frame) for frame in range(start, end)]
    return replace(as_batch(start, end, found), is_live=True, position_seconds=began + end)


async def remove_old(database: Database, older_than: float) -> int:
    """How many blocks were removed."""
    async with database.connection() as connection:
        blocks = 0
        while await retention.remove_oldest_block(connection, SCENARIO, older_than):
            blocks += 1
    return blocks


async def blocks(database: Database) -> list[int]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT DISTINCT block FROM label_blocks ORDER BY block")
    return [row["block"] for row in rows]


async def test_old_predictions_of_a_live_source_are_removed_block_by_block(predictions: Database) -> None:
    block, now = FRAMES_PER_BLOCK, time.time()
    fence = new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, live(0, 3 * block, now - 3 * block))
    assert await remove_old(predictions, 2 * block + 60) == 0
    assert await remove_old(predictions, 1.5 * block) == 1
    assert await frames(predictions) == list(range(block, 3 * block))
    assert await blocks(predictions) == [1, 2]
    async with predictions.connection() as connection:
        counted = await connection.fetchval("SELECT min(bucket) FROM timeline_buckets")
    assert counted == int(now - 2 * block - 1) // BUCKET_SECONDS  # of the newest frame that was removed
    # A run may still write to the last block.
    assert await write(predictions, fence, live(3 * block, 3 * block + 5, now - 3 * block))
    assert await remove_old(predictions, 0.5 * block) == 1
    assert (await frames(predictions))[0] == 2 * block


async def test_a_label_is_forgotten_with_its_last_block(predictions: Database) -> None:
    block, now = FRAMES_PER_BLOCK, time.time()
    fence = new_fence()
    await claim(predictions, fence)
    for number, labels in enumerate([("cat", "dog"), ("cat",), ("dog", "cat")]):
        found = tuple(Detection(label, 0.5, (1.0, 2.0, 3.0, 4.0)) for label in labels)
        alive = live(number * block, (number + 1) * block, now - 3 * block)
        rows = [replace(each, detections=found) for each in alive.predictions]
        assert await write(predictions, fence, replace(alive, predictions=rows))
        if number == 1:
            assert await remove_old(predictions, 1.5 * block) == 1
            assert await known_labels(predictions) == ["cat"]
    assert await known_labels(predictions) == ["cat", "dog"]


async def known_labels(database: Database) -> list[str]:
    async with database.connection() as connection:
        return [row["label"] for row in await connection.fetch("SELECT label FROM found_labels ORDER BY 1")]


async def test_what_is_removed_is_logged_and_counted(predictions: Database) -> None:
    block, fence = FRAMES_PER_BLOCK, new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, live(0, 3 * block, time.time() - 3 * block))
    before = EXPIRED._value.get()
    days = 0.5 * block / retention.DAY
    with capture_logs() as logs, move_on_after(60) as scope:
        async with create_task_group() as tasks:
            tasks.start_soon(retention.remove_old, predictions, days)
            await until(lambda: any(line["event"] == "old predictions removed" for line in logs))
            tasks.cancel_scope.cancel()
    assert not scope.cancelled_caught
    (line,) = [line for line in logs if line["event"] == "old predictions removed"]
    assert (line["scenario"], line["predictions"], line["days"]) == (str(SCENARIO), 2 * block, days)
    assert EXPIRED._value.get() - before == 2 * block


async def test_blocks_are_removed_beyond_a_gap_in_the_frames(predictions: Database) -> None:
    block, now = FRAMES_PER_BLOCK, time.time()
    fence = new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, live(0, 5, now - 10_000))
    gap = replace(as_batch(5, 7 * block + 3, []), is_live=True)
    assert await write(predictions, fence, gap)
    assert await write(predictions, fence, live(7 * block + 3, 8 * block, now - 10_000 - 7 * block))
    assert await remove_old(predictions, 60) == 2
    assert (await frames(predictions), await blocks(predictions)) == ([], [])


async def test_the_block_that_is_written_to_is_kept_while_a_run_writes(predictions: Database) -> None:
    now = time.time()
    fence = new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, live(0, 9, now - 10_000))
    assert await remove_old(predictions, 60) == 0
    async with predictions.connection() as connection:
        await connection.execute("UPDATE checkpoints SET updated_at = now() - interval '61 s'")
    assert await remove_old(predictions, 60) == 1
    assert await write(predictions, fence, live(9, 20, now))
    assert await frames(predictions) == list(range(9, 20))
    assert await blocks(predictions) == [0]


async def test_predictions_of_recordings_are_kept(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, batch(0, 3 * FRAMES_PER_BLOCK))
    assert await remove_old(predictions, 60) == 0
    async with predictions.connection() as connection:
        assert await retention.live_scenarios(connection) == []


async def test_the_purge_of_a_live_scenario_begins_after_what_retention_removed(
    predictions: Database,
) -> None:
    block, fence = FRAMES_PER_BLOCK, new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, live(0, 2 * block, time.time() - 1.5 * block))
    assert await remove_old(predictions, block / 4) == 1
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
    async with predictions.transaction() as connection:
        assert await purge.next_deleted_scenario(connection) == SCENARIO
        assert await purge.remove_rows(connection, SCENARIO, 10_000) == block
    assert await frames(predictions) == []

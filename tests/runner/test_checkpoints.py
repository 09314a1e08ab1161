"""The fence: who may write, what is written once, and what a lost acknowledgement means."""

import time
from contextlib import suppress
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from app.domain.prediction import Detection, Prediction
from app.postgres import Database
from app.predictions.checkpoint import Batch, Checkpoint, Counters, Fence, FencedError
from app.predictions.codec import FRAMES_PER_BLOCK
from app.runner import checkpoints as store
from tests.support.batches import as_batch, batch, prediction
from tests.support.rows import packed

SCENARIO = uuid4()


def fence(attempt: int = 1) -> Fence:
    return Fence(SCENARIO, attempt, uuid4())


async def claim(database: Database, who: Fence) -> Checkpoint | None:
    async with database.connection() as connection:
        with suppress(FencedError):
            return await store.claim(connection, who)
    return None


async def write(database: Database, who: Fence, what: Batch) -> bool:
    async with database.connection() as connection:
        return await store.write(connection, who, what)


async def frames(database: Database) -> list[int]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT frame FROM predictions WHERE scenario_id = $1 ORDER BY frame", SCENARIO
        )
    return [row["frame"] for row in rows]


async def purge(database: Database, limit: int) -> int | None:
    """How many rows of the scenario were removed; None where it is purged already."""
    async with database.transaction() as connection:
        found = await store.next_to_purge(connection)
        if found is None:
            return None
        assert found == SCENARIO
        return await store.purge(connection, found, limit)


async def test_a_first_claim_begins_at_the_first_frame(predictions: Database) -> None:
    checkpoint = await claim(predictions, fence())
    assert checkpoint is not None
    assert (checkpoint.next_frame, checkpoint.finished, checkpoint.eligible) == (0, False, None)


async def test_a_later_attempt_goes_on_where_the_last_one_stored(predictions: Database) -> None:
    first, second = fence(1), fence(2)
    await claim(predictions, first)
    assert await write(predictions, first, batch(0, 10))
    checkpoint = await claim(predictions, second)
    assert checkpoint is not None
    assert (checkpoint.next_frame, checkpoint.eligible) == (10, "all")
    assert checkpoint.counters == Counters(sampled=10, detections=10)


async def test_what_is_stored_comes_back_as_it_was(predictions: Database) -> None:
    who = fence()
    await claim(predictions, who)
    tracked = Prediction(2, 0.1, (Detection("a", 1.0, (0.0, 1.0, 2.0, 3.0), track_id=7),))
    failed = Prediction(3, 0.2, (), "damaged data")
    what = replace(batch(0, 4), predictions=[prediction(0, 2), prediction(1, 0), tracked, failed])
    assert await write(predictions, who, what)
    async with predictions.connection() as connection:
        rows = await connection.fetch("SELECT * FROM predictions ORDER BY frame")
    assert [list(row.values())[1:] for row in rows] == [
        [0, 0.0, "aruco:0\naruco:1", packed(0.5, 0.5), packed(*[1.0, 2.0, 3.5, 4.25] * 2), None, None],
        [1, 1 / 30, "", b"", b"", None, None],
        [2, 0.1, "a", packed(1.0), packed(0.0, 1.0, 2.0, 3.0), [7], None],
        [3, 0.2, "", b"", b"", None, "damaged data"],
    ]


async def test_frames_without_anything_are_stored(predictions: Database) -> None:
    who = fence()
    await claim(predictions, who)
    assert await write(predictions, who, as_batch(0, 1, [prediction(0, 0)]))
    assert await write(predictions, who, as_batch(1, 9, []))
    assert await write(predictions, who, as_batch(9, 12, [prediction(9, 0), prediction(11, 0)]))
    assert await frames(predictions) == [0, 9, 11]


async def test_an_older_or_equal_attempt_cannot_claim(predictions: Database) -> None:
    holder = fence(3)
    await claim(predictions, holder)
    assert await claim(predictions, fence(2)) is None
    assert await claim(predictions, fence(3)) is None
    assert await claim(predictions, holder) is not None


async def test_claims_that_are_made_together_are_judged_one_by_one(predictions: Database) -> None:
    await claim(predictions, fence(attempt=2))
    others = [Fence(uuid4(), 1, uuid4()) for _ in range(2)]
    async with predictions.connection() as connection:
        first, fenced, last = await store.claim_all(connection, [others[0], fence(attempt=1), others[1]])
        again = await store.claim_all(connection, [replace(others[0], run_token=uuid4()), others[1]])
    assert fenced is None
    assert first is not None
    assert last is not None
    assert (first.next_frame, last.next_frame) == (0, 0)
    assert [each is None for each in again] == [True, False]


async def test_a_fenced_run_writes_nothing(predictions: Database) -> None:
    first, second = fence(1), fence(2)
    await claim(predictions, first)
    await claim(predictions, second)
    assert not await write(predictions, first, batch(0, 10))
    async with predictions.connection() as connection:
        with pytest.raises(FencedError):
            await store.is_stored(connection, first, batch(0, 10))
    assert await frames(predictions) == []


async def test_a_batch_is_stored_once_however_often_it_is_tried(predictions: Database) -> None:
    who = fence()
    await claim(predictions, who)
    assert await write(predictions, who, batch(0, 5))
    assert not await write(predictions, who, batch(0, 5))
    async with predictions.connection() as connection:
        assert await store.is_stored(connection, who, batch(0, 5))
        assert not await store.is_stored(connection, who, batch(5, 9))
    assert await frames(predictions) == [0, 1, 2, 3, 4]


async def test_rows_and_checkpoint_are_stored_together_or_not_at_all(predictions: Database) -> None:
    who = fence()
    await claim(predictions, who)
    twice = replace(batch(0, 2), predictions=[prediction(0), prediction(0)])
    with pytest.raises(asyncpg.UniqueViolationError):
        await write(predictions, who, twice)
    checkpoint = await claim(predictions, who)
    assert checkpoint is not None
    assert checkpoint.next_frame == 0
    assert await frames(predictions) == []


async def test_a_finished_scenario_takes_nothing_more(predictions: Database) -> None:
    who, later = fence(1), fence(2)
    await claim(predictions, who)
    assert await write(predictions, who, batch(0, 5, finished=True))
    checkpoint = await claim(predictions, later)
    assert checkpoint is not None
    assert checkpoint.finished
    assert not await write(predictions, later, batch(5, 6))


async def test_a_tombstone_lets_no_claim_and_no_write_pass(predictions: Database) -> None:
    who = fence()
    await claim(predictions, who)
    async with predictions.connection() as connection:
        await store.drop(connection, SCENARIO)
    assert await claim(predictions, fence(9)) is None
    assert not await write(predictions, who, batch(0, 5))


async def test_a_tombstone_is_left_even_where_nothing_was_stored(predictions: Database) -> None:
    async with predictions.connection() as connection:
        await store.drop(connection, SCENARIO)
        await store.drop(connection, SCENARIO)
    assert await claim(predictions, fence()) is None


async def test_rows_are_removed_in_batches_and_no_others(predictions: Database) -> None:
    who, other = fence(), Fence(uuid4(), 1, uuid4())
    await claim(predictions, who)
    await claim(predictions, other)
    await write(predictions, who, batch(0, 25))
    await write(predictions, other, batch(0, 5))
    async with predictions.connection() as connection:
        await store.drop(connection, SCENARIO)
    removed = [await purge(predictions, 10) for _ in range(4)]
    assert removed == [10, 10, 5, None]
    async with predictions.connection() as connection:
        left: list[UUID] = [
            row["scenario_id"]
            for row in await connection.fetch("SELECT DISTINCT scenario_id FROM predictions")
        ]
    assert left == [other.scenario_id]


async def test_nothing_of_a_removed_scenario_is_left(predictions: Database) -> None:
    who, other = fence(), Fence(uuid4(), 1, uuid4())
    for each in (who, other):
        await claim(predictions, each)
        await write(predictions, each, batch(0, 2 * FRAMES_PER_BLOCK + 5))
    async with predictions.connection() as connection:
        await store.drop(connection, SCENARIO)
    while await purge(predictions, 700) is not None:
        pass
    async with predictions.connection() as connection:
        blocks = await connection.fetch("SELECT DISTINCT scenario_id FROM label_blocks")
    assert [row["scenario_id"] for row in blocks] == [other.scenario_id]
    assert await frames(predictions) == []


async def test_a_clock_that_was_set_back_does_not_make_times_decrease(predictions: Database) -> None:
    ahead = time.time() + 3600
    who = fence()
    await claim(predictions, who)
    assert await write(predictions, who, replace(batch(0, 5), position_seconds=ahead))
    checkpoint = await claim(predictions, fence(2))
    assert checkpoint is not None
    assert ahead <= checkpoint.unix_offset + time.monotonic() < ahead + 60


def live(start: int, end: int, began: float) -> Batch:
    """Frames of a camera, one a second from `began`, in Unix time."""
    found = [replace(prediction(frame), time=began + frame) for frame in range(start, end)]
    return replace(as_batch(start, end, found), live=True, position_seconds=began + end)


async def forget(database: Database, older_than: float) -> int:
    """How many blocks were removed."""
    async with database.connection() as connection:
        blocks = 0
        while await store.forget_block(connection, SCENARIO, older_than):
            blocks += 1
    return blocks


async def blocks(database: Database) -> list[int]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT DISTINCT block FROM label_blocks ORDER BY block")
    return [row["block"] for row in rows]


async def test_what_a_live_source_gave_is_forgotten_block_by_block(predictions: Database) -> None:
    block, now = FRAMES_PER_BLOCK, time.time()
    who = fence()
    await claim(predictions, who)
    assert await write(predictions, who, live(0, 3 * block, now - 3 * block))
    assert await forget(predictions, 2 * block + 60) == 0
    assert await forget(predictions, 1.5 * block) == 1
    assert await frames(predictions) == list(range(block, 3 * block))
    assert await blocks(predictions) == [1, 2]
    # What was written last may be written to still.
    assert await write(predictions, who, live(3 * block, 3 * block + 5, now - 3 * block))
    assert await forget(predictions, 0.5 * block) == 1
    assert (await frames(predictions))[0] == 2 * block


async def test_gaps_hold_up_nothing(predictions: Database) -> None:
    block, now = FRAMES_PER_BLOCK, time.time()
    who = fence()
    await claim(predictions, who)
    assert await write(predictions, who, live(0, 5, now - 10_000))
    gap = replace(as_batch(5, 7 * block + 3, []), live=True)
    assert await write(predictions, who, gap)
    assert await write(predictions, who, live(7 * block + 3, 8 * block, now - 10_000 - 7 * block))
    assert await forget(predictions, 60) == 2
    assert (await frames(predictions), await blocks(predictions)) == ([], [])


async def test_the_block_that_is_written_to_is_spared_while_anybody_writes(predictions: Database) -> None:
    now = time.time()
    who = fence()
    await claim(predictions, who)
    assert await write(predictions, who, live(0, 9, now - 10_000))
    assert await forget(predictions, 60) == 0
    async with predictions.connection() as connection:
        await connection.execute("UPDATE checkpoints SET updated_at = now() - interval '61 s'")
    assert await forget(predictions, 60) == 1
    assert await write(predictions, who, live(9, 20, now))
    assert await frames(predictions) == list(range(9, 20))
    assert await blocks(predictions) == [0]


async def test_recordings_are_not_forgotten(predictions: Database) -> None:
    who = fence()
    await claim(predictions, who)
    assert await write(predictions, who, batch(0, 3 * FRAMES_PER_BLOCK))
    assert await forget(predictions, 60) == 0
    async with predictions.connection() as connection:
        assert await store.live_scenarios(connection) == []


async def test_a_live_scenario_that_is_deleted_is_purged_from_where_it_was_forgotten(
    predictions: Database,
) -> None:
    block, who = FRAMES_PER_BLOCK, fence()
    await claim(predictions, who)
    assert await write(predictions, who, live(0, 2 * block, time.time() - 1.5 * block))
    assert await forget(predictions, block / 4) == 1
    async with predictions.connection() as connection:
        await store.drop(connection, SCENARIO)
    assert await purge(predictions, 10_000) == block
    assert await frames(predictions) == []

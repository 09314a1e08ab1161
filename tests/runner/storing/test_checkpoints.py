"""The fence: who may write, what is written once, and what a lost acknowledgement means."""

import time
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from app.domain.prediction import Detection, Prediction
from app.postgres import Database
from app.predictions.checkpoint import BatchWrite, Counters, Fence
from app.runner.storing import checkpoints, claims
from tests.support.batches import as_batch, batch, prediction
from tests.support.checkpoints import claim, frames, new_fence, write
from tests.support.rows import class_ids, packed


async def test_a_first_claim_begins_at_the_first_frame(predictions: Database) -> None:
    checkpoint = await claim(predictions, new_fence())
    assert checkpoint is not None
    assert (checkpoint.next_frame, checkpoint.is_finished, checkpoint.candidates) == (0, False, None)


async def test_a_later_attempt_continues_after_the_last_stored_frame(predictions: Database) -> None:
    first, second = new_fence(1), new_fence(2)
    await claim(predictions, first)
    assert await write(predictions, first, batch(0, 10))
    checkpoint = await claim(predictions, second)
    assert checkpoint is not None
    assert (checkpoint.next_frame, checkpoint.candidates) == (10, "all")
    assert checkpoint.counters == Counters(sampled=10, detections=10)


async def test_rows_hold_what_was_written(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    tracked = Prediction(2, 0.1, (Detection("a", 1.0, (0.0, 1.0, 2.0, 3.0), track_id=7, class_id=258),))
    failed = Prediction(3, 0.2, (), "damaged data")
    boxes = packed(*[1.0, 2.0, 3.5, 4.25] * 2)
    first, other = prediction(0, 2).detections
    mixed = Prediction(0, 0.0, (replace(first, class_id=0), other))
    what = replace(batch(0, 4), predictions=[mixed, prediction(1, 0), tracked, failed])
    assert await write(predictions, fence, what)
    async with predictions.connection() as connection:
        rows = await connection.fetch("SELECT * FROM predictions ORDER BY frame")
    assert [list(row.values())[1:] for row in rows] == [
        [0, 0.0, "aruco:0\naruco:1", packed(0.5, 0.5), boxes + class_ids(0, 0xFFFF), None, None],
        [1, 1 / 30, "", b"", b"", None, None],
        [2, 0.1, "a", packed(1.0), packed(0.0, 1.0, 2.0, 3.0) + class_ids(258), [7], None],
        [3, 0.2, "", b"", b"", None, "damaged data"],
    ]


async def test_frames_without_detections_are_stored(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, as_batch(0, 1, [prediction(0, 0)]))
    assert await write(predictions, fence, as_batch(1, 9, []))
    assert await write(predictions, fence, as_batch(9, 12, [prediction(9, 0), prediction(11, 0)]))
    assert await frames(predictions) == [0, 9, 11]


async def test_an_older_or_equal_attempt_cannot_claim(predictions: Database) -> None:
    holder = new_fence(3)
    await claim(predictions, holder)
    assert await claim(predictions, new_fence(2)) is None
    assert await claim(predictions, new_fence(3)) is None
    assert await claim(predictions, holder) is not None


async def test_each_of_several_claims_in_one_statement_has_its_own_result(predictions: Database) -> None:
    await claim(predictions, new_fence(attempt=2))
    others = [Fence(uuid4(), 1, uuid4()) for _ in range(2)]
    async with predictions.connection() as connection:
        first, fenced, last = await claims.claim_all(connection, [others[0], new_fence(attempt=1), others[1]])
        again = await claims.claim_all(connection, [replace(others[0], run_token=uuid4()), others[1]])
    assert fenced is None
    assert first is not None
    assert last is not None
    assert (first.next_frame, last.next_frame) == (0, 0)
    assert [each is None for each in again] == [True, False]


async def test_a_fenced_run_writes_nothing(predictions: Database) -> None:
    first, second = new_fence(1), new_fence(2)
    await claim(predictions, first)
    await claim(predictions, second)
    assert not await write(predictions, first, batch(0, 10))
    async with predictions.connection() as connection:
        late = [BatchWrite(first, batch(0, 10))]
        assert await checkpoints.write_batches(connection, late) == ["fenced_off"]
        assert await checkpoints.read_results(connection, late) == ["fenced_off"]
    assert await frames(predictions) == []


async def test_a_batch_is_stored_once_however_often_it_is_written(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, batch(0, 5))
    assert not await write(predictions, fence, batch(0, 5))
    async with predictions.connection() as connection:
        both = [BatchWrite(fence, batch(0, 5)), BatchWrite(fence, batch(5, 9))]
        assert await checkpoints.read_results(connection, both) == ["stored", "not_stored"]
        assert await checkpoints.write_batches(connection, both[:1]) == ["stored"]
    assert await frames(predictions) == [0, 1, 2, 3, 4]


async def test_rows_and_checkpoint_are_stored_together_or_not_at_all(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    twice = replace(batch(0, 2), predictions=[prediction(0), prediction(0)])
    with pytest.raises(asyncpg.UniqueViolationError):
        await write(predictions, fence, twice)
    checkpoint = await claim(predictions, fence)
    assert checkpoint is not None
    assert checkpoint.next_frame == 0
    assert await frames(predictions) == []


async def test_nothing_is_written_to_a_finished_scenario(predictions: Database) -> None:
    fence, later = new_fence(1), new_fence(2)
    await claim(predictions, fence)
    assert await write(predictions, fence, batch(0, 5, is_finished=True))
    checkpoint = await claim(predictions, later)
    assert checkpoint is not None
    assert checkpoint.is_finished
    assert not await write(predictions, later, batch(5, 6))


async def test_times_do_not_decrease_if_the_clock_was_set_back(predictions: Database) -> None:
    ahead = time.time() + 3600
    fence = new_fence()
    await claim(predictions, fence)
    assert await write(predictions, fence, replace(batch(0, 5), position_seconds=ahead))
    checkpoint = await claim(predictions, new_fence(2))
    assert checkpoint is not None
    assert ahead <= checkpoint.unix_offset + time.monotonic() < ahead + 60

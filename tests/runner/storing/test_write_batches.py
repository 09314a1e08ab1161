"""Batches of several scenarios in one statement: each has its own result, and none waits for a client."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.domain.prediction import Detection, Prediction
from app.postgres import Connection, Database, open_connection
from app.predictions.checkpoint import Batch, BatchWrite, Fence, WriteResult
from app.predictions.codec import decode
from app.runner.cleanup import purge
from app.runner.storing import checkpoints, claims
from tests.support.batches import as_batch, batch, prediction
from tests.support.checkpoints import claim, frames, new_fence, write
from tests.support.databases import blocks_another
from tests.support.waiting import until


async def claimed(database: Database, attempt: int = 1) -> Fence:
    """The fence of a new scenario."""
    fence = new_fence(attempt, uuid4())
    await claim(database, fence)
    return fence


async def write_all(database: Database, *writes: tuple[Fence, Batch]) -> list[WriteResult]:
    async with database.connection() as connection:
        return await checkpoints.write_batches(connection, [BatchWrite(*each) for each in writes])


async def test_each_batch_has_its_own_result(predictions: Database) -> None:
    good, fenced, deleted, repeated, behind, finished = [await claimed(predictions) for _ in range(6)]
    successor = new_fence(2, fenced.scenario_id)
    await claim(predictions, successor)
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, deleted.scenario_id)
    assert await write(predictions, repeated, batch(0, 5))
    assert await write(predictions, behind, batch(0, 7))
    assert await write(predictions, finished, batch(0, 3, is_finished=True))
    unknown = new_fence(1, uuid4())
    results = await write_all(
        predictions,
        (fenced, batch(0, 5)),
        (repeated, batch(0, 5)),
        (deleted, batch(0, 5)),
        (good, batch(0, 4)),
        (behind, batch(3, 9)),
        (finished, batch(3, 4)),
        (unknown, batch(0, 1)),
        (successor, batch(0, 2)),
    )
    # The successor's scenario occurs twice here: a fenced-off write of it does not count.
    assert results == [
        "fenced_off",
        "stored",
        "fenced_off",
        "stored",
        "fenced_off",
        "fenced_off",
        "fenced_off",
        "stored",
    ]
    stored = [await frames(predictions, each.scenario_id) for each in (good, successor, repeated, behind)]
    assert stored == [[0, 1, 2, 3], [0, 1], [0, 1, 2, 3, 4], list(range(7))]
    assert await frames(predictions, deleted.scenario_id) == []


async def test_what_was_left_out_can_be_written_again(predictions: Database) -> None:
    fence, other = await claimed(predictions), await claimed(predictions)
    async with predictions.connection() as connection:
        writes = [BatchWrite(fence, batch(0, 5)), BatchWrite(other, batch(0, 5))]
        assert await checkpoints.read_results(connection, writes) == ["not_stored", "not_stored"]
        assert await checkpoints.write_batches(connection, writes) == ["stored", "stored"]
        assert await checkpoints.write_batches(connection, writes) == ["stored", "stored"]
    assert await frames(predictions, fence.scenario_id) == [0, 1, 2, 3, 4]


async def test_no_batches_are_written_as_none(predictions: Database) -> None:
    assert await write_all(predictions) == []


async def test_a_row_that_cannot_be_stored_stores_nothing_of_the_statement(predictions: Database) -> None:
    good, bad = await claimed(predictions), await claimed(predictions)
    twice = replace(batch(0, 2), predictions=[prediction(0), prediction(0)])
    with pytest.raises(asyncpg.UniqueViolationError):
        await write_all(predictions, (good, batch(0, 5)), (bad, twice))
    assert await frames(predictions, good.scenario_id) == []
    assert await write_all(predictions, (good, batch(0, 5))) == ["stored"]


detections = st.builds(
    Detection,
    label=st.sampled_from(["", "car", "traffic light", "qr:ä"]),
    confidence=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    box=st.tuples(*[st.sampled_from([0.0, 0.5, 100.25, 4096.0])] * 4),
    track_id=st.none() | st.integers(0, 9),
    class_id=st.none() | st.integers(0, 9),
)
contents = st.tuples(st.lists(detections, max_size=4).map(tuple), st.none()) | st.just(((), "damaged"))
recordings = st.lists(st.lists(contents, max_size=5), min_size=2, max_size=5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recordings=recordings)
def test_several_batches_are_stored_as_each_of_them_alone(
    predictions_dsn: str, recordings: list[list[tuple[tuple[Detection, ...], str | None]]]
) -> None:
    asyncio.run(compare(predictions_dsn, recordings))


async def compare(dsn: str, recordings: list[list[tuple[tuple[Detection, ...], str | None]]]) -> None:
    """Write each recording to two scenarios, together with the others and alone."""
    batches = []
    for n, recording in enumerate(recordings):
        start = 1020 * n
        found = [Prediction(start + at, at / 30, *content) for at, content in enumerate(recording)]
        batches.append(as_batch(start, start + 10, found))
    together, alone = ([new_fence(1, uuid4()) for _ in batches] for _ in range(2))
    async with open_connection(dsn) as connection:
        for fences in (together, alone):
            for fence, each in zip(fences, batches, strict=True):
                await claims.claim(connection, fence)
                if each.start:
                    assert await checkpoints.write(connection, fence, as_batch(0, each.start, []))
        writes = [BatchWrite(*each) for each in zip(together, batches, strict=True)]
        assert await checkpoints.write_batches(connection, writes) == ["stored"] * len(batches)
        for fence, each in zip(alone, batches, strict=True):
            assert await checkpoints.write(connection, fence, each)
        for first, second, each in zip(together, alone, batches, strict=True):
            stored = await content_of(connection, first.scenario_id)
            assert stored == await content_of(connection, second.scenario_id)
            assert len(stored[0]) == len(each.predictions)


async def content_of(
    connection: Connection, scenario_id: UUID
) -> tuple[list[Prediction], list[object], list[object], object]:
    """All that is stored of a scenario, but for its id and the time of writing."""
    rows = await connection.fetch(
        "SELECT * FROM predictions WHERE scenario_id = $1 ORDER BY frame", scenario_id
    )
    blocks = await connection.fetch(
        "SELECT label, block, max_confidence FROM label_blocks WHERE scenario_id = $1 ORDER BY label, block",
        scenario_id,
    )
    counts = await connection.fetch(
        "SELECT label, bucket, frames, detections, max_confidence, failed FROM timeline_buckets"
        " WHERE scenario_id = $1 ORDER BY label, bucket",
        scenario_id,
    )
    checkpoint = await connection.fetchrow("SELECT * FROM checkpoints WHERE scenario_id = $1", scenario_id)
    assert checkpoint is not None
    columns = dict(checkpoint)
    for column in ("scenario_id", "run_token", "updated_at"):
        del columns[column]
    return [decode(row) for row in rows], [tuple(row) for row in blocks], list(map(tuple, counts)), columns


async def test_statements_with_scenarios_in_common_do_not_deadlock(predictions: Database) -> None:
    fences = sorted([await claimed(predictions) for _ in range(12)], key=lambda fence: fence.scenario_id)

    async def write_in(order: list[Fence]) -> list[WriteResult]:
        results = []
        for at in range(30):
            writes = [(fence, as_batch(at, at + 1, [prediction(at)])) for fence in order]
            results += await write_all(predictions, *writes)
        return results

    results = await asyncio.gather(write_in(fences), write_in(fences[::-1]))
    assert "not_stored" not in [result for each in results for result in each]
    for fence in fences:
        stored = await frames(predictions, fence.scenario_id)
        assert stored == list(range(len(stored)))
        assert len(stored) == 30


async def test_a_statement_holds_its_locks_no_longer_than_it_runs(
    predictions: Database, predictions_dsn: str
) -> None:
    """As when a process is frozen after it sent its statement: the server ends the statement alone."""
    first, second = sorted([await claimed(predictions), await claimed(predictions)], key=_id)
    client = await asyncpg.connect(predictions_dsn)
    try:
        async with predictions.transaction() as blocking:
            await blocking.execute(
                "SELECT FROM checkpoints WHERE scenario_id = $1 FOR UPDATE", second.scenario_id
            )
            sent = asyncio.create_task(
                checkpoints.write_batches(
                    client,
                    [BatchWrite(second, batch(0, 5)), BatchWrite(first, batch(0, 5))],
                )
            )
            await until(lambda: blocks_another(blocking))
            successor = asyncio.create_task(claim(predictions, new_fence(2, first.scenario_id)))
            await asyncio.sleep(0.1)
            assert not successor.done()
        checkpoint = await asyncio.wait_for(successor, 30)
        assert checkpoint is not None
        assert checkpoint.next_frame == 5
        assert await sent == ["stored", "stored"]
    finally:
        await client.close()


async def test_a_client_that_is_gone_leaves_no_lock(predictions: Database, predictions_dsn: str) -> None:
    first, second = sorted([await claimed(predictions), await claimed(predictions)], key=_id)
    client = await asyncpg.connect(predictions_dsn)
    async with predictions.transaction() as blocking:
        await blocking.execute(
            "SELECT FROM checkpoints WHERE scenario_id = $1 FOR UPDATE", second.scenario_id
        )
        sent = asyncio.create_task(
            checkpoints.write_batches(
                client,
                [BatchWrite(first, batch(0, 5)), BatchWrite(second, batch(0, 5))],
            )
        )
        await until(lambda: blocks_another(blocking))
        sent.cancel()  # the server is told to cancel the statement
        with pytest.raises(asyncio.CancelledError):
            await sent
        checkpoint = await asyncio.wait_for(claim(predictions, new_fence(2, first.scenario_id)), 30)
        assert checkpoint is not None
        assert checkpoint.next_frame == 0
    client.terminate()
    assert await frames(predictions, first.scenario_id) == []


def _id(fence: Fence) -> UUID:
    return fence.scenario_id

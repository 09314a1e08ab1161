"""Statements that several runs share: each run gets its own result, whatever becomes of the others."""

from collections.abc import Sequence
from uuid import uuid4

import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from msgspec.structs import replace

from app.postgres import Connection, Database
from app.predictions.checkpoint import Batch, BatchWrite, Fence, WriteResult
from app.runner.storing import checkpoints, claims
from app.runner.storing import shared_statements as shared_module
from app.runner.storing.shared_statements import MAX_SHARED_FRAMES, SharedStatements
from tests.support.batches import batch


class Written:
    """Results of writes that are asked for at the same time, and the sizes of the statements."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shared = SharedStatements(database)
        self.sizes: list[int] = []
        self.fails = False
        write_batches = checkpoints.write_batches

        async def counted(connection: Connection, writes: Sequence[BatchWrite]) -> list[WriteResult]:
            self.sizes.append(len(writes))
            if self.fails:
                raise ZeroDivisionError
            return await write_batches(connection, writes)

        monkeypatch.setattr(checkpoints, "write_batches", counted)

    async def write(self, *writes: tuple[Fence, Batch]) -> list[WriteResult | None]:
        results: dict[int, WriteResult | None] = {}

        async def ask(number: int, fence: Fence, batch: Batch) -> None:
            results[number] = await self.shared.write(BatchWrite(fence, batch))

        async with create_task_group() as group:
            for number, (fence, what) in enumerate(writes):
                group.start_soon(ask, number, fence, what)
        return [results[number] for number in range(len(writes))]


async def claimed(database: Database, count: int) -> list[Fence]:
    fences = [Fence(uuid4(), 1, uuid4()) for _ in range(count)]
    async with database.connection() as connection:
        await claims.claim_all(connection, fences)
    return fences


async def test_a_run_that_is_fenced_off_fails_no_other(
    predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(predictions, monkeypatch)
    first, fenced_off, last = await claimed(predictions, 3)
    async with predictions.connection() as connection:
        await claims.claim(connection, Fence(fenced_off.scenario_id, 2, uuid4()))
    results = await written.write((first, batch(0, 3)), (fenced_off, batch(0, 3)), (last, batch(0, 5)))
    assert results == ["stored", "fenced_off", "stored"]
    assert written.sizes == [3]
    async with predictions.connection() as connection:
        rows = await connection.fetch(
            "SELECT scenario_id, count(*) AS n FROM predictions GROUP BY scenario_id"
        )
    assert {row["scenario_id"]: row["n"] for row in rows} == {first.scenario_id: 3, last.scenario_id: 5}


async def test_two_attempts_of_one_scenario_do_not_share_a_statement(
    predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(predictions, monkeypatch)
    (older, other) = await claimed(predictions, 2)
    newer = Fence(older.scenario_id, 2, uuid4())
    async with predictions.connection() as connection:
        await claims.claim(connection, newer)
    results = await written.write((older, batch(0, 3)), (newer, batch(0, 3)), (other, batch(0, 1)))
    assert results == ["fenced_off", None, "stored"]
    assert written.sizes == [2]


async def test_a_large_batch_does_not_share_a_statement(
    predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(predictions, monkeypatch)
    (fence,) = await claimed(predictions, 1)
    assert await written.write((fence, batch(0, MAX_SHARED_FRAMES + 1))) == [None]
    assert written.sizes == []
    assert await written.write((fence, batch(0, MAX_SHARED_FRAMES))) == ["stored"]


async def test_if_the_statement_fails_each_is_to_be_stored_alone(
    predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(predictions, monkeypatch)
    written.fails = True
    first, second = await claimed(predictions, 2)
    assert await written.write((first, batch(0, 3)), (second, batch(0, 3))) == [None, None]


async def test_batches_of_live_sources_gather_and_nothing_else_waits_for_them(
    predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_module, "LIVE_INTERVAL", 3600.0)
    written = Written(predictions, monkeypatch)
    fences = await claimed(predictions, 6)
    live = replace(batch(0, 1), is_live=True)
    assert await written.write((fences[0], live)) == ["stored"]  # the first one need not wait
    results: list[WriteResult | None] = []

    async def ask(fence: Fence) -> None:
        results.append(await written.shared.write(BatchWrite(fence, live)))

    async with create_task_group() as group:
        for fence in fences[1:4]:
            group.start_soon(ask, fence)
        await wait_all_tasks_blocked()
        assert await written.write((fences[4], batch(0, 3))) == ["stored"]
        assert await written.write((fences[5], replace(live, source_state="closed"))) == ["stored"]
        assert written.sizes == [1, 1, 1]
        assert results == []
        written.shared.hurry()  # as a stop and a shutdown do
    assert results == ["stored"] * 3
    assert written.sizes == [1, 1, 1, 3]

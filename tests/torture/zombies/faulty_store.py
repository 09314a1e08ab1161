"""Two runs of one scenario on a database that fails at times: the first freezes, and writes late."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

from anyio import Event, create_task_group, sleep
from msgspec.structs import replace

from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Marker
from app.domain.networks import Networks
from app.domain.prediction import Detection, Prediction
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import Instance, StartRun
from app.postgres import TRANSIENT, Connection, Database
from app.predictions.checkpoint import Batch, FencedError
from app.runner.context import RunContext
from app.runner.frames.workers import WorkerLanes, Workers
from app.runner.run import Run
from tests.support.batches import batch

_SPEC = ScenarioSpec("clip.mp4", Marker())


class FaultyDatabase:
    """A database as one run sees it.

    Of its statements, the share `rate` fails in one of three ways: it is not executed, or its answer is lost,
    or the connection is cut during it, so that either may be true.

    Write number `freeze_at` freezes the run, before it is sent or before its answer is seen.
    """

    def __init__(self, database: Database, rate: float, chance: random.Random, freeze_at: int = 0) -> None:
        self._database = database
        self._rate = rate
        self._chance = chance
        self._freeze_at = freeze_at
        self._writes = 0
        self.frozen = Event()
        self.thaw = Event()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self._database.connection() as connection:
            yield cast("Connection", _Statements(connection, self))

    async def write(self, connection: Connection, statement: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to a write, if all goes well."""
        self._writes += 1
        if self._writes != self._freeze_at:
            return await self.carry_out(connection, statement)
        if self._chance.random() < 0.5:
            await self._freeze()
            return await self.carry_out(connection, statement)
        try:
            return await self.carry_out(connection, statement)
        finally:
            await self._freeze()

    async def carry_out(self, connection: Connection, statement: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to a statement, if all goes well."""
        fault = self._chance.choice(("before", "after", "cut")) if self._chance.random() < self._rate else ""
        if fault == "before":
            raise ConnectionResetError("a fault before the statement")
        if fault == "cut":
            return await self._cut(connection, statement)
        answer = await statement()
        if fault == "after":
            raise TimeoutError("a fault after the statement")
        return answer

    async def _cut(self, connection: Connection, statement: Callable[[], Awaitable[Any]]) -> None:
        async with create_task_group() as group:
            group.start_soon(self._terminate, connection)
            with suppress(*TRANSIENT):
                await statement()
        raise ConnectionResetError("a fault in the middle of the statement")

    async def _terminate(self, connection: Connection) -> None:
        await sleep(self._chance.uniform(0, 0.003))
        connection.terminate()

    async def _freeze(self) -> None:
        self.frozen.set()
        await self.thaw.wait()


class _Statements:
    """A connection of a FaultyDatabase. What is told to the witness arrives."""

    def __init__(self, connection: Connection, database: FaultyDatabase) -> None:
        self._connection = connection
        self._database = database
        self.execute = connection.execute

    async def fetchval(self, *arguments: Any) -> Any:
        return await self._database.write(self._connection, lambda: self._connection.fetchval(*arguments))

    async def fetch(self, *arguments: Any) -> Any:
        return await self._database.carry_out(self._connection, lambda: self._connection.fetch(*arguments))

    async def fetchrow(self, *arguments: Any) -> Any:
        return await self._database.carry_out(self._connection, lambda: self._connection.fetchrow(*arguments))


class Attempt:
    """A run that stores batch after batch, each row labelled with the attempt's number."""

    def __init__(
        self, scenario_id: UUID, number: int, database: FaultyDatabase, chance: random.Random
    ) -> None:
        command = StartRun(Instance("runner", uuid4()), scenario_id, number, encode_spec(_SPEC))
        workers = WorkerLanes(Workers(1))
        context = RunContext(
            cast("Database", database), Path(), ModelCache(Path()), Networks("public"), workers
        )
        self._run = Run(command, context, lambda _: None)
        self._number = number
        self._chance = chance

    async def claim(self) -> None:
        """Begin where the last attempt ended. Raises FencedError."""
        checkpoint = await self._run._claim()
        assert checkpoint is not None
        self._run.next_frame = checkpoint.next_frame

    async def store(self) -> None:
        """Store one batch more. Raises FencedError."""
        start = self._run.next_frame
        end = start + self._chance.randint(1, 5)
        await self._run._store.store(self._labelled(batch(start, end)))
        self._run.next_frame = end

    def _labelled(self, what: Batch) -> Batch:
        found = (Detection(f"attempt:{self._number}", 1.0, (0.0, 0.0, 1.0, 1.0)),)
        return replace(
            what, predictions=[Prediction(each.frame, each.time, found) for each in what.predictions]
        )


async def write_late(database: Database, rate: float, seed: int) -> None:
    """Let an attempt freeze anywhere, wake while its successor claims and stores, and continue to write."""
    chance = random.Random(seed)
    scenario_id = UUID(int=chance.getrandbits(128), version=4)
    frozen = FaultyDatabase(database, rate, chance, freeze_at=chance.randint(1, 5))
    zombie = Attempt(scenario_id, 1, frozen, chance)
    successor = Attempt(scenario_id, 2, FaultyDatabase(database, rate, chance), chance)
    claimed = Event()

    async def keep_writing() -> None:
        await zombie.claim()
        after = 0
        with suppress(FencedError):
            while after < 3:
                after += claimed.is_set()
                await zombie.store()

    async with create_task_group() as group:
        group.start_soon(keep_writing)
        await frozen.frozen.wait()
        wakes = chance.randint(-1, 3)  # before the claim is sent, or after so many batches
        if wakes < 0:
            frozen.thaw.set()
        await successor.claim()
        claimed.set()
        for number in range(6):
            if number == wakes:
                frozen.thaw.set()
            await successor.store()

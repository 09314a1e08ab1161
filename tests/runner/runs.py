"""Runs on a real database and real sources."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from anyio import Event, create_task_group

from app.detectors.onnx.cache import ModelCache
from app.detectors.remote.servers import InferenceServers
from app.domain.detector_config import Mock
from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.spec import RestartPolicy, ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import (
    Instance,
    RunEvent,
    StartRun,
)
from app.postgres import Database
from app.runner.context import Decoding, RunContext
from app.runner.frames.workers import WorkerLanes, Workers
from app.runner.run import Run
from app.runner.storing.shared_statements import SharedStatements
from tests.support.waiting import until

INSTANCE = Instance("runner-1", uuid4())
MOCK, EVERY_FRAME = Mock(), EveryFrame()
LIVE = "test:testsrc2?size=320x180&rate=50&live=true"
ENDLESS = "test:testsrc2?size=64x36&rate=100&duration=600"
TEN_THOUSAND_FRAMES = "test:testsrc2?size=64x36&rate=100&duration=100"


class World:
    """A predictions database, and runs on it."""

    def __init__(self, database: Database, clips: Path, decoding: Decoding = "thread") -> None:
        self.database = database
        self.decoding = decoding
        self.scenario_id = uuid4()
        self.events: list[RunEvent] = []
        self._clips = clips
        self.servers = InferenceServers(Networks("loopback"))
        self.keeps_evidence = True

    def run(
        self,
        spec: ScenarioSpec,
        *,
        attempt: int = 1,
        database: Database | None = None,
        shared: SharedStatements | None = None,
    ) -> Run:
        """An attempt that is still to be executed."""
        database = database or self.database
        workers = WorkerLanes(Workers(2))
        context = RunContext(
            database,
            self._clips,
            ModelCache(self._clips),
            Networks("loopback"),
            workers,
            self.decoding,
            self.servers,
            self.keeps_evidence,
        )
        command = StartRun(INSTANCE, self.scenario_id, attempt, encode_spec(spec))
        return Run(command, context, self.events.append, shared=shared)

    async def stored(self) -> list[asyncpg.Record]:
        async with self.database.connection() as connection:
            return await connection.fetch(
                "SELECT frame, time FROM predictions WHERE scenario_id = $1 ORDER BY frame", self.scenario_id
            )

    async def checkpoint(self) -> asyncpg.Record:
        async with self.database.connection() as connection:
            row = await connection.fetchrow(
                "SELECT * FROM checkpoints WHERE scenario_id = $1", self.scenario_id
            )
        assert row is not None
        return row

    async def reported(self, kind: type[RunEvent]) -> RunEvent:
        """Wait for an event of this kind."""
        await until(lambda: any(isinstance(event, kind) for event in self.events))
        return next(event for event in self.events if isinstance(event, kind))


@asynccontextmanager
async def executing(run: Run) -> AsyncIterator[Event]:
    """The run goes on beside the block, until the event that this gives; the block's end waits for it."""
    over = Event()

    async def execute() -> None:
        await run.execute()
        over.set()

    async with create_task_group() as group:
        group.start_soon(execute)
        yield over


def spec(
    source: str, detector: Any = MOCK, sampling: Any = EVERY_FRAME, policy: Any = "on_failure"
) -> ScenarioSpec:
    return ScenarioSpec(source, detector, sampling, RestartPolicy(policy))


async def run_claimed(world: World) -> None:
    async def there() -> bool:
        async with world.database.connection() as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM checkpoints"))

    await until(there)

"""A folder of files, a batch of them, and the runner that its scenarios are given to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec

from app.domain.batch import BatchSpec, encode_batch
from app.messages import (
    CreateBatch,
    RunFinished,
    StartRun,
)
from app.orchestrator.batches.keeper import ScanTiming
from tests.orchestrator.conftest import PATIENT, ActedRunner, World
from tests.support.waiting import until

SCENARIO = msgspec.Raw(b'{"detector":{"type":"marker"},"sampling":{"mode":"all"},"tags":["a"]}')
QUICK = ScanTiming(interval=0.05, settle=0.1)


def creation(
    sources: str = "**/*.mp4",
    *,
    watch: bool = False,
    at_once: int = 4,
    batch_id: UUID | None = None,
    **spec: Any,
) -> CreateBatch:
    encoded = encode_batch(BatchSpec(sources, SCENARIO, **spec))
    return CreateBatch(uuid4(), batch_id or uuid4(), encoded, (), "yard", (), watch, at_once)


class Yard:
    """The folder, and the batches in the database."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder

    def put(self, path: str, content: str = "") -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content or path)
        return file

    async def create(self, command: CreateBatch) -> UUID:
        assert await self.world.send(command) == "done"
        return command.batch_id

    async def batch(self, batch_id: UUID) -> asyncpg.Record:
        async with self.world.database.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM batches WHERE id = $1", batch_id)
        assert row is not None
        return row

    async def is_in(self, batch_id: UUID, state: str) -> None:
        async def reached() -> bool:
            return bool((await self.batch(batch_id))["state"] == state)

        await until(reached)

    async def files(self, batch_id: UUID) -> dict[str, str]:
        """The state of the latest file of each path."""
        async with self.world.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT path, state FROM batch_files WHERE batch_id = $1 AND is_latest", batch_id
            )
        return {row["path"]: row["state"] for row in rows}

    async def have_states(self, batch_id: UUID, expected: dict[str, str]) -> None:
        async def reached() -> bool:
            return await self.files(batch_id) == expected

        await until(reached)

    @asynccontextmanager
    async def orchestrator(self, scan_timing: ScanTiming = QUICK) -> AsyncIterator[None]:
        async with self.world.orchestrator(timing=PATIENT, media_root=self.folder, scan_timing=scan_timing):
            yield


def source_of(start: StartRun) -> str:
    source: str = msgspec.json.decode(start.spec)["source"]
    return source


async def started(runner: ActedRunner, count: int) -> None:
    await until(lambda: len(runner.starts) >= count)


async def finish(runner: ActedRunner, start: StartRun) -> None:
    await runner.report(RunFinished(start.scenario_id, start.attempt, 5), ends=True)

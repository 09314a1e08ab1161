"""One Postgres server for all tests, and a fresh copy of a migrated database for each."""

import itertools
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

import asyncpg
from anyio.from_thread import start_blocking_portal

from app.postgres import migrate
from app.postgres.embedded.locks import FileLock
from app.postgres.embedded.server import Server, embedded_server

_PREFIX = "videoanalysis-tests-"


class Databases:
    """Makes databases from templates on a server of the tests' own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._templates: set[str] = set()
        self._numbers = itertools.count(1)

    def dsn(self, database: str) -> str:
        return self._server.dsn(database)

    @asynccontextmanager
    async def copy(self, package: str) -> AsyncIterator[str]:
        """The address of a database migrated by `package`, which is dropped afterwards."""
        template = package.replace(".", "_")
        if template not in self._templates:
            await self._execute(f"DROP DATABASE IF EXISTS {template}", f"CREATE DATABASE {template}")
            await migrate(self.dsn(template), package)
            self._templates.add(template)
        async with self._made(f"{template}_{next(self._numbers)}", template) as dsn:
            yield dsn

    @asynccontextmanager
    async def empty(self) -> AsyncIterator[str]:
        """The address of a database with nothing in it, which is dropped afterwards."""
        async with self._made(f"empty_{next(self._numbers)}", "template1") as dsn:
            yield dsn

    @asynccontextmanager
    async def _made(self, name: str, template: str) -> AsyncIterator[str]:
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.dsn(name)
        finally:
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def databases() -> Iterator[Databases]:
    """The server, for as long as the block lasts. It gives up safety against power cuts for speed."""
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with (
        temporary_folder() as folder,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            embedded_server(folder / "postgres", databases=(), settings=settings)
        ) as server,
    ):
        yield Databases(server)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """In memory where there is enough of it: copying a database then takes a hundredth of a second."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of an unpredictable name is made in it
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 2**30:
        _remove_left(memory)
        parent = memory
    else:
        parent = Path(gettempdir())
    with TemporaryDirectory(prefix=_PREFIX, dir=parent) as folder:
        yield Path(folder)


def _remove_left(memory: Path) -> None:
    """Remove what killed sessions left; their servers end when they miss their folders."""
    for lock in memory.glob(f"{_PREFIX}*/postgres/users.lock"):
        # One that is gone belongs to another session that is ending, one that is new to one that starts.
        with suppress(FileNotFoundError):
            if time.time() - lock.stat().st_mtime > 60:
                with FileLock(lock) as users:
                    if users.try_exclusive():
                        shutil.rmtree(lock.parent.parent, ignore_errors=True)

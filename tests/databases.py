"""One Postgres server for all tests, and a fresh copy of a migrated database for each."""

import itertools
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
from anyio.from_thread import start_blocking_portal

from app.postgres import migrate
from app.postgres.embedded import Server, embedded_server
from app.postgres.locks import FileLock

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
        name = f"{template}_{next(self._numbers)}"
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            if template not in self._templates:
                await connection.execute(f"CREATE DATABASE {template}")
                await migrate(self.dsn(template), package)
                self._templates.add(template)
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
            try:
                yield self.dsn(name)
            finally:
                await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await connection.close()


@contextmanager
def databases() -> Iterator[Databases]:
    """The server, for as long as the block lasts. It gives up safety against power cuts for speed."""
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with (
        _folder() as folder,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            embedded_server(Path(folder), databases=(), settings=settings)
        ) as server,
    ):
        yield Databases(server)


def _folder() -> TemporaryDirectory[str]:
    """In memory where there is enough of it: copying a database then takes a hundredth of a second."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of an unpredictable name is made in it
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 2 * 2**30:
        return TemporaryDirectory(prefix=_PREFIX)
    for lock in memory.glob(f"{_PREFIX}*/users.lock"):
        if time.time() - lock.stat().st_mtime < 60:
            continue  # perhaps of a session that is just starting
        with FileLock(lock) as users:
            if users.try_exclusive():  # the session was killed; its server ends with its folder
                shutil.rmtree(lock.parent, ignore_errors=True)
    return TemporaryDirectory(prefix=_PREFIX, dir=memory)

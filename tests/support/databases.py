"""One PostgreSQL server for all tests, and a new copy of a migrated database for each."""

import asyncio
import itertools
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import asyncpg
from anyio import Lock
from anyio.from_thread import BlockingPortal, start_blocking_portal

from app.postgres import Connection, migrate
from app.postgres.connections import PlainConnection
from app.postgres.embedded.locks import FileLock
from app.postgres.embedded.server import EmbeddedServer, embedded_server
from tests.support.temporary import MEMORY, fast_folder

_PREFIX = "videoanalysis-tests-"


class Databases:
    """Makes databases from templates on the tests' server.

    All are made on one connection, in the portal's event loop: each test has a loop of its own, and
    connecting takes as long as copying a database.
    """

    def __init__(self, server: EmbeddedServer, portal: BlockingPortal) -> None:
        self._server = server
        self._portal = portal
        self._connection: PlainConnection | None = None
        self._lock = Lock()
        self._templates: set[str] = set()
        self._numbers = itertools.count(1)

    def dsn(self, database: str) -> str:
        return self._server.dsn(database)

    @asynccontextmanager
    async def copy(self, package: str) -> AsyncIterator[str]:
        """Yield the address of a database migrated by `package`; it is dropped afterwards."""
        template = package.replace(".", "_")
        if template not in self._templates:
            await self._execute(f"DROP DATABASE IF EXISTS {template}", f"CREATE DATABASE {template}")
            await migrate(self.dsn(template), package)
            self._templates.add(template)
        async with self._made(f"{template}_{next(self._numbers)}", template) as dsn:
            yield dsn

    @asynccontextmanager
    async def empty(self) -> AsyncIterator[str]:
        """Yield the address of an empty database; it is dropped afterwards."""
        async with self._made(f"empty_{next(self._numbers)}", "template1") as dsn:
            yield dsn

    @asynccontextmanager
    async def _made(self, name: str, template: str) -> AsyncIterator[str]:
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.dsn(name)
        finally:
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def close(self) -> None:
        """Close the connection; to be called in the portal's event loop."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _execute(self, *statements: str) -> None:
        await asyncio.wrap_future(self._portal.start_task_soon(self._execute_in_portal, statements))

    async def _execute_in_portal(self, statements: Sequence[str]) -> None:
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is None or connection.is_closed():
                connection = await asyncpg.connect(self.dsn("postgres"))
            try:
                for statement in statements:
                    await connection.execute(statement)
            except BaseException:
                connection.terminate()
                raise
            self._connection = connection


@contextmanager
def databases() -> Iterator[Databases]:
    """Run a server during the block. For speed it does not wait for the disk."""
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with (
        temporary_folder() as folder,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(
            embedded_server(folder / "postgres", databases=(), settings=settings)
        ) as server,
    ):
        made = Databases(server, portal)
        try:
            yield made
        finally:
            portal.call(made.close)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a temporary folder for a server: in memory if there is room, where copies take 10 ms."""
    _remove_left()
    with fast_folder(_PREFIX) as folder:
        yield folder


def _remove_left() -> None:
    """Remove the folders of killed sessions; their servers end when their folders are gone."""
    for lock in MEMORY.glob(f"{_PREFIX}*/postgres/users.lock"):
        # A lock that is gone belongs to a session that ends, a new one to a session that starts.
        with suppress(FileNotFoundError):
            if time.time() - lock.stat().st_mtime > 60:
                with FileLock(lock) as users:
                    if users.try_exclusive():
                        shutil.rmtree(lock.parent.parent, ignore_errors=True)


async def blocks_another(connection: Connection) -> bool:
    """Return whether a statement of another connection waits for a lock of this one.

    Asking also keeps a transaction alive, which the server ends if it is idle for five seconds.
    """
    waiting: bool = await connection.fetchval(
        "SELECT EXISTS ("
        "SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
    )
    return waiting

"""One Postgres server for all tests, and a fresh copy of a migrated database for each."""

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from anyio.from_thread import start_blocking_portal

from app.postgres import migrate
from app.postgres.embedded import Server, embedded_server


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
def databases(folder: Path) -> Iterator[Databases]:
    """The server, for as long as the block lasts. It gives up safety against power cuts for speed."""
    settings = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(embedded_server(folder, databases=(), settings=settings)) as server,
    ):
        yield Databases(server)

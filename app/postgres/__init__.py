"""Pools and migrations: what every store stands on."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import msgspec
import structlog
from anyio import move_on_after, sleep
from asyncpg.pool import PoolConnectionProxy

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection | PoolConnectionProxy

log = structlog.get_logger(__name__)

TRANSIENT: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
)
"""Faults of the database's or the network's making, which the same call survives when repeated later."""

_NOT_YET: tuple[type[Exception], ...] = (asyncpg.UndefinedTableError, *TRANSIENT)
# A process that freezes inside a transaction keeps no lock for longer than this.
_SESSION = {"idle_in_transaction_session_timeout": "5s", "statement_timeout": "60s"}
_MIGRATION_LOCK = 0x76615F6D6967  # "va_mig"; any constant will do, so long as every process uses it


class Database:
    """A pool whose every wait is bounded, so that a silent server is an error and never a hang."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", acquire_timeout: float) -> None:
        self._pool = pool
        self._acquire_timeout = acquire_timeout

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """Borrow a connection. Raises TimeoutError where none comes free in time."""
        async with self._pool.acquire(timeout=self._acquire_timeout) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Connection"]:
        """Borrow a connection inside a transaction: committed on the way out, rolled back on an exception."""
        async with self.connection() as connection, connection.transaction():
            yield connection


async def prepare(connection: Connection) -> None:
    """Let Structs go in as jsonb, and come out as JSON text for a typed decoder."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: msgspec.json.encode(value).decode(),
        decoder=str,
    )


@asynccontextmanager
async def open_database(
    dsn: str, *, size: int = 8, acquire_timeout: float = 10.0, command_timeout: float = 30.0
) -> AsyncGenerator[Database, None]:
    """A pool of at most `size` connections to `dsn`, opened as they are needed. Times are in seconds."""
    pool = asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=acquire_timeout,
        command_timeout=command_timeout,
        init=prepare,
        server_settings=_SESSION,
    )
    async with pool:
        try:
            yield Database(pool, acquire_timeout)
        finally:
            # A peer that went silent would hold a polite close for ever.
            with move_on_after(3) as deadline:
                await pool.close()
            if deadline.cancelled_caught:
                pool.terminate()


def migrations_of(package: str) -> dict[str, str]:
    """The package's `migrations/*.sql`: name → text, in the order they apply."""
    spec = find_spec(package)  # finds the package's folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"there is no package {package}")
    folder = Path(spec.submodule_search_locations[0]) / "migrations"
    return {path.name: path.read_text() for path in sorted(folder.glob("*.sql"))}


async def migrate(dsn: str, package: str) -> list[str]:
    """Bring the database at `dsn` up to the package's migrations and return those applied now.

    Safe when several processes start at once: one applies, the others wait for its lock and find nothing
    left to do. Open pools afterwards: a connection that saw a table before its change keeps stale types.
    """
    applied: list[str] = []
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = {row["name"] for row in await connection.fetch("SELECT name FROM schema_migrations")}
        for name, sql in migrations_of(package).items():
            if name in done:
                continue
            async with connection.transaction():
                await connection.execute(sql)
                await connection.execute("INSERT INTO schema_migrations (name) VALUES ($1)", name)
            applied.append(name)
    finally:
        await connection.close(timeout=5)
    return applied


async def wait_for_schema(dsn: str, package: str, *, poll: float = 0.5) -> None:
    """Return once another process has applied every migration of `package`. Waits for ever, saying so."""
    wanted = set(migrations_of(package))
    said = False
    while True:
        missing = wanted
        try:
            connection = await asyncpg.connect(dsn, timeout=10)
            try:
                rows = await connection.fetch("SELECT name FROM schema_migrations")
                missing = wanted - {row["name"] for row in rows}
            finally:
                await connection.close(timeout=5)
        except _NOT_YET as error:
            log.debug("schema not readable yet", error=str(error))
        if not missing:
            return
        if not said:
            log.info("waiting for the schema", package=package, missing=sorted(missing))
            said = True
        await sleep(poll)

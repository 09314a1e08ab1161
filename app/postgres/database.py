"""Connections whose every wait is bounded, and which of their faults pass by themselves."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import asyncpg
import msgspec
from anyio import move_on_after
from asyncpg.pool import PoolConnectionProxy

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection | PoolConnectionProxy

TRANSIENT: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
)
"""Faults of the database's or the network's making, which the same call survives when repeated later."""

_CLOSE_TIMEOUT = 1.0


class Database:
    """A pool whose every wait is bounded, so that a silent server is an error and never a hang.

    A connection that is lost in use raises one of TRANSIENT, at the latest on the way out of the block.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", acquire_timeout: float) -> None:
        self._pool = pool
        self._acquire_timeout = acquire_timeout

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection. Raises TimeoutError where none comes free in time."""
        async with self._pool.acquire(timeout=self._acquire_timeout) as connection:
            with _loss_is_transient(connection):
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
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
    dsn: str,
    *,
    size: int = 8,
    acquire_timeout: float = 10.0,
    command_timeout: float = 30.0,
    idle_timeout: float = 5.0,
) -> AsyncGenerator[Database, None]:
    """A pool of at most `size` connections to `dsn`, opened as they are needed. Times are in seconds.

    A statement that a silent server leaves unanswered fails after twice `command_timeout`: the second is for
    asking it to cancel. A transaction in which this process falls silent for `idle_timeout` is rolled back by
    the server, so that a frozen process does not keep its locks.
    """
    pool = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=acquire_timeout,
        command_timeout=command_timeout,
        server_settings={"idle_in_transaction_session_timeout": str(int(idle_timeout * 1000))},
        init=prepare,
    )
    try:
        yield Database(pool, acquire_timeout)
    finally:
        # A silent server would hold a polite close for ever; past the time-out the pool cuts its connections.
        with move_on_after(_CLOSE_TIMEOUT, shield=True):
            await pool.close()


@asynccontextmanager
async def open_connection(dsn: str, *, timeout: float = 30.0) -> AsyncGenerator[Connection, None]:
    """A connection of one's own. `timeout`, in seconds, is for connecting and for each statement."""
    connection = await asyncpg.connect(dsn, timeout=min(timeout, 10), command_timeout=timeout)
    try:
        with _loss_is_transient(connection):
            yield connection
    finally:
        with move_on_after(_CLOSE_TIMEOUT, shield=True):
            await connection.close()


@contextmanager
def _loss_is_transient(connection: Connection) -> Iterator[None]:
    """asyncpg has one exception for using a lost connection and for using it wrongly: tell them apart."""
    try:
        yield
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if isinstance(error, asyncpg.InternalClientError):
            # What the server said as it ended the connection came unasked, which asyncpg is not made for.
            connection.terminate()
        if _is_lost(connection):
            raise ConnectionResetError("the connection to the database was lost") from error
        raise


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken the lost connection back already
        return True

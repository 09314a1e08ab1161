"""Single connections: open one, set it up, and tell a lost connection from a wrong use of one."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import asyncpg
import msgspec
from anyio import move_on_after
from asyncpg.pool import PoolConnectionProxy
from asyncpg.transaction import Transaction

from .faults import LOST

if TYPE_CHECKING:
    PlainConnection = asyncpg.Connection[asyncpg.Record]
    Connection = PlainConnection | PoolConnectionProxy[asyncpg.Record]
else:
    PlainConnection = asyncpg.Connection
    Connection = PlainConnection | PoolConnectionProxy

CLEANUP_TIMEOUT = 0.25
"""Seconds for the server to answer while a connection is cleaned up. A cancelled task waits for it."""

_CLOSE_TIMEOUT = 1.0  # seconds
_LONGEST_CONNECT = 10.0  # seconds


@asynccontextmanager
async def open_connection(dsn: str, *, timeout: float = 30.0) -> AsyncGenerator[Connection, None]:
    """Open a connection outside of any pool. `timeout`, in seconds, bounds connecting and each statement."""
    connection = await asyncpg.connect(dsn, timeout=min(timeout, _LONGEST_CONNECT), command_timeout=timeout)
    try:
        with loss_is_transient(connection):
            yield connection
    finally:
        with move_on_after(_CLOSE_TIMEOUT, shield=True):
            await connection.close()


async def prepare(connection: Connection) -> None:
    """Encode Structs as jsonb, and return jsonb as JSON text for a typed decoder."""
    with terminated_on_failure(connection):
        await connection.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            encoder=lambda value: msgspec.json.encode(value).decode(),
            decoder=str,
        )


@contextmanager
def loss_is_transient(connection: Connection) -> Iterator[None]:
    """Raise ConnectionResetError if an error of asyncpg means that the connection was lost.

    asyncpg raises InterfaceError both for using a lost connection and for using a connection wrongly.
    """
    try:
        yield
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if isinstance(error, asyncpg.InternalClientError):
            # asyncpg did not expect the server's last message before it ended the connection.
            terminate(connection)
        if is_lost(connection):
            raise ConnectionResetError("the connection to the database was lost") from error
        raise


@contextmanager
def terminated_on_failure(connection: Connection) -> Iterator[None]:
    """Terminate the connection if the block fails: after half a BEGIN or COMMIT its state is unknown."""
    try:
        yield
    except BaseException:
        terminate(connection)
        raise


async def roll_back(connection: Connection, transaction: Transaction) -> None:
    """Roll back, even if this task is cancelled. If that fails, terminate the connection.

    A shield is no help against `asyncio.Task.cancel`, after which the transaction may still be open.
    """
    with (
        move_on_after(CLEANUP_TIMEOUT, shield=True),
        suppress(*LOST),
        terminated_on_failure(connection),
    ):
        await transaction.rollback()


def terminate(connection: Connection) -> None:
    """Close the connection without a word to the server."""
    with suppress(asyncpg.InterfaceError):  # the pool has already taken it back
        connection.terminate()


def is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has already taken the lost connection back
        return True

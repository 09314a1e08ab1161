"""Connections whose every wait is bounded, and which of their faults pass by themselves."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

import asyncpg
import msgspec
from anyio import CancelScope, current_time, move_on_after
from asyncpg.pool import PoolConnectionProxy
from asyncpg.transaction import Transaction

from ..concurrency.micro_batching import MicroBatcher
from .faults import LOST, REFUSED
from .health_probe import LateError, Pulse, SilentError

if TYPE_CHECKING:
    _Plain = asyncpg.Connection[asyncpg.Record]
    Connection = _Plain | PoolConnectionProxy[asyncpg.Record]
else:
    _Plain = asyncpg.Connection
    Connection = _Plain | PoolConnectionProxy

_CLOSE_TIMEOUT = 1.0
_PARTING_TIMEOUT = 0.25  # for a server to answer as a connection is cleaned: who is cancelled waits for it
_IDLE = 60.0  # seconds after which a connection may lead nowhere: what is between forgets those not used
_PATIENCE = 0.05  # seconds that a shared query waits for the one before it
_SLACK = 1.0  # for its answer that a statement took too long


class _Connection(_Plain):
    """One of a pool's. The pool's own wrapping passes on what it does not know, like `losses`."""

    losses = 0
    """How often the server had been away when this was opened."""


class Database:
    """A pool whose every wait is bounded, so that a silent server is an error and never a hang.

    A connection that is lost in use raises one of TRANSIENT, at the latest on the way out of the block.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", acquire_timeout: float, pulse: Pulse) -> None:
        self._pool = pool
        self._acquire_timeout = acquire_timeout
        self._pulse = pulse
        self._waiting = 0
        self._is_closing = False
        self._spare: PoolConnectionProxy[asyncpg.Record] | None = None
        self._spare_since = 0.0
        self._lookups: dict[str, MicroBatcher[object, asyncpg.Record]] = {}

    async def close(self) -> None:
        """Close every connection, whatever state it is in."""
        self._is_closing = True
        if self._spare is not None:
            await self._give_back(self._spare)
        # A silent server would hold a polite close for ever; past the time-out the pool cuts its connections.
        with move_on_after(_CLOSE_TIMEOUT, shield=True):
            await self._pool.close()

    async def watch(self) -> None:
        """Until cancelled, notice within seconds when the server falls silent, and when it answers again.

        Without this, the time-outs alone end waits on a silent server.
        """
        await self._pulse.run()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection. Raises TimeoutError where none comes free in time."""
        connection = self._take_spare() or await self._acquire()
        used: PoolConnectionProxy[asyncpg.Record] | None = connection
        try:
            with self._pulse.bounding(), _loss_is_transient(connection):
                yield connection
            used = self._keep_spare(connection)
        finally:
            if used is not None:
                await self._give_back(used)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Borrow a connection inside a transaction: committed on the way out, rolled back on an exception."""
        async with self.connection() as connection:
            transaction = connection.transaction()
            with _thrown_away_unless_done(connection):
                await transaction.start()
            try:
                yield connection
            except BaseException:
                await _roll_back(connection, transaction)
                raise
            with _thrown_away_unless_done(connection):
                await transaction.commit()

    async def find(self, sql: str, key: object) -> asyncpg.Record | None:
        """Return the row whose first column is `key`; `sql` selects such rows for an array of keys, `$1`.

        Concurrent calls with the same `sql` share a query.
        """
        if sql not in self._lookups:
            self._lookups[sql] = MicroBatcher(partial(self._find_rows, sql), patience=_PATIENCE)
        return await self._lookups[sql].ask(key)

    async def _find_rows(self, sql: str, keys: Sequence[object]) -> list[asyncpg.Record | None]:
        async with self.connection() as connection:
            found = {row[0]: row for row in await connection.fetch(sql, keys)}
        return [found.get(key) for key in keys]

    def _take_spare(self) -> "PoolConnectionProxy[asyncpg.Record] | None":
        """The connection that was used last, if it can be used again: the pool takes its time with each."""
        connection, self._spare = self._spare, None
        if connection is None or _is_lost(connection):
            return None
        is_old = monotonic() - self._spare_since > _IDLE or self._is_from_before_a_loss(connection)
        if is_old or self._pulse.is_away:
            _throw_away(connection)
            return None
        return connection

    def _keep_spare(
        self, connection: "PoolConnectionProxy[asyncpg.Record]"
    ) -> "PoolConnectionProxy[asyncpg.Record] | None":
        """Keep a connection for who comes next. What this returns goes back to the pool instead."""
        if self._waiting or self._is_closing or self._pulse.is_away or _is_lost(connection):
            return connection
        before, self._spare, self._spare_since = self._spare, connection, monotonic()
        return before

    def _is_from_before_a_loss(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> bool:
        return cast("_Connection", connection).losses != self._pulse.losses

    async def _acquire(self) -> "PoolConnectionProxy[asyncpg.Record]":
        deadline = current_time() + self._acquire_timeout
        while True:
            try:
                with self._pulse.bounding(deadline):
                    await self._pulse.answering()
                    self._waiting += 1
                    try:
                        connection = await self._pool.acquire()
                    finally:
                        self._waiting -= 1
                if not self._is_from_before_a_loss(connection):
                    return connection
                _throw_away(connection)
                await self._give_back(connection)
            except SilentError:
                continue
            except LateError:
                raise
            except REFUSED as error:  # whatever needs a connection is not to blame
                raise ConnectionRefusedError(f"the database lets nobody in: {error}") from error
            except (OSError, asyncpg.CannotConnectNowError):
                if not self._pulse.doubt():
                    raise

    async def _give_back(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        """Let the pool clean it and have it back, whoever cancels; where the server is silent, as a loss."""
        if self._pulse.is_away:
            _throw_away(connection)
        # What was asked of the server it has answered by now: a fault in cleaning is nobody's else.
        with CancelScope(shield=True), suppress(*LOST):
            await self._pool.release(connection, timeout=_PARTING_TIMEOUT)


async def prepare(connection: Connection) -> None:
    """Let Structs go in as jsonb, and come out as JSON text for a typed decoder."""
    with _thrown_away_unless_done(connection):
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
    silence: float = 3.0,
) -> AsyncGenerator[Database, None]:
    """A pool of at most `size` connections to `dsn`, opened as they are needed. Times are in seconds.

    A statement is ended by the server after `command_timeout`, and given up soon after. A transaction in
    which this process falls silent for `idle_timeout` is rolled back by the server, so that a frozen process
    does not keep its locks. While `Database.watch` runs, a server counts as away that takes more than
    `silence` to answer the simplest question.
    """
    pulse = Pulse(dsn, silence)

    async def init(connection: Connection) -> None:
        cast("_Connection", connection).losses = pulse.losses
        await prepare(connection)

    pool = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=acquire_timeout,
        command_timeout=command_timeout + _SLACK,
        server_settings={
            "statement_timeout": str(int(command_timeout * 1000)),
            "idle_in_transaction_session_timeout": str(int(idle_timeout * 1000)),
        },
        init=init,
        reset=_keep,
        connection_class=_Connection,
    )
    database = Database(pool, acquire_timeout, pulse)
    try:
        yield database
    finally:
        await database.close()


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


async def _keep(connection: Connection) -> None:
    """Leave a connection that is given back as it is: nobody sets anything on one.

    Without this, each use of a connection would end with a statement that resets what might have been set.
    """


@contextmanager
def _thrown_away_unless_done(connection: Connection) -> Iterator[None]:
    """For a BEGIN or COMMIT: cut short, nobody knows whether the connection is in a transaction."""
    try:
        yield
    except BaseException:
        _throw_away(connection)
        raise


async def _roll_back(connection: Connection, transaction: Transaction) -> None:
    """Roll back, also where this task is cancelled; the connection is given up where that fails."""
    with move_on_after(_PARTING_TIMEOUT, shield=True), suppress(*LOST):
        await transaction.rollback()
        return
    _throw_away(connection)


def _throw_away(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # the pool has taken it back already
        connection.terminate()


@contextmanager
def _loss_is_transient(connection: Connection) -> Iterator[None]:
    """asyncpg has one exception for using a lost connection and for using it wrongly: tell them apart."""
    try:
        yield
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        if isinstance(error, asyncpg.InternalClientError):
            # What the server said as it ended the connection came unasked, which asyncpg is not made for.
            _throw_away(connection)
        if _is_lost(connection):
            raise ConnectionResetError("the connection to the database was lost") from error
        raise


def _is_lost(connection: Connection) -> bool:
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken the lost connection back already
        return True

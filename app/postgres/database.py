"""A connection pool in which every wait is bounded and a lost connection is a transient error."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import asyncpg
from anyio import CancelScope, current_time, move_on_after

from ..concurrency.micro_batching import MicroBatcher
from .connections import (
    CLEANUP_TIMEOUT,
    Connection,
    PlainConnection,
    is_lost,
    loss_is_transient,
    prepare,
    roll_back,
    terminate,
    terminated_on_failure,
)
from .faults import LOST, REFUSED
from .health_probe import DeadlineError, HealthProbe, SilentServerError

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    PooledConnection = PoolConnectionProxy[asyncpg.Record]

_CLOSE_TIMEOUT = 1.0  # seconds
_IDLE = 60.0  # seconds; gateways and firewalls forget connections that are unused for longer
_PATIENCE = 0.05  # seconds that a shared query waits for the one before it
_REPLY_GRACE = 1.0  # seconds for the server to report that a statement timed out


class _Connection(PlainConnection):
    """A connection of the pool. The pool's proxy passes attributes on that it does not know."""

    generation = 0
    """The generation of the health probe when this was opened."""


class Database:
    """A connection pool in which every wait is bounded: a silent server is an error, never a hang.

    If a connection is lost during use, an error in TRANSIENT is raised, at the latest when the block ends.
    """

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", acquire_timeout: float, probe: HealthProbe
    ) -> None:
        self._pool = pool
        self._acquire_timeout = acquire_timeout
        self._probe = probe
        self._waiting = 0
        self._is_closing = False
        self._idle: PooledConnection | None = None
        self._idle_since = 0.0
        self._lookups: dict[str, MicroBatcher[object, asyncpg.Record]] = {}

    async def close(self) -> None:
        """Close every connection, whatever state it is in."""
        self._is_closing = True
        if self._idle is not None:
            await self._release(self._idle)
        # A graceful close waits for a silent server without limit; if cancelled, it terminates connections.
        with move_on_after(_CLOSE_TIMEOUT, shield=True):
            await self._pool.close()

    async def watch(self) -> None:
        """Run the health probe until cancelled: it notices a silent server within seconds.

        Without it, only the time-outs end the waits for a silent server.
        """
        await self._probe.run()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Borrow a connection.

        Raises:
            TimeoutError: no connection became free in time.
        """
        connection = self._take_idle() or await self._acquire()
        used: PooledConnection | None = connection
        try:
            with self._probe.bounded(), loss_is_transient(connection):
                yield connection
            used = self._keep_idle(connection)
        finally:
            if used is not None:
                await self._release(used)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Borrow a connection in a transaction: commit when the block ends, roll back if it raises."""
        async with self.connection() as connection:
            # Not `async with transaction`: a cancelled BEGIN, COMMIT or ROLLBACK leaves an unknown state.
            transaction = connection.transaction()
            with terminated_on_failure(connection):
                await transaction.start()
            try:
                yield connection
            except BaseException:
                await roll_back(connection, transaction)
                raise
            with terminated_on_failure(connection):
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

    def _take_idle(self) -> "PooledConnection | None":
        """Take the connection that was used last, if it is still good: faster than acquire and release."""
        connection, self._idle = self._idle, None
        if connection is None or is_lost(connection):
            return None
        is_old = monotonic() - self._idle_since > _IDLE or self._is_outdated(connection)
        if is_old or self._probe.is_down:
            terminate(connection)
            return None
        return connection

    def _keep_idle(self, connection: "PooledConnection") -> "PooledConnection | None":
        """Keep a connection for the next caller. Return the connection to release instead, if any."""
        if self._waiting or self._is_closing or self._probe.is_down or is_lost(connection):
            return connection
        before, self._idle, self._idle_since = self._idle, connection, monotonic()
        return before

    def _is_outdated(self, connection: "PooledConnection") -> bool:
        # Not `Pool.expire_connections`: it closes each one gracefully, and waits without limit for an answer.
        return cast("_Connection", connection).generation != self._probe.generation

    async def _acquire(self) -> "PooledConnection":
        deadline = current_time() + self._acquire_timeout
        while True:
            try:
                with self._probe.bounded(deadline):
                    await self._probe.wait_until_up()
                    self._waiting += 1
                    try:
                        connection = await self._pool.acquire()
                    finally:
                        self._waiting -= 1
                if not self._is_outdated(connection):
                    return connection
                terminate(connection)
                await self._release(connection)
            except SilentServerError:
                continue
            except DeadlineError:
                raise
            except REFUSED as error:  # transient: the caller's statement is not the reason
                raise ConnectionRefusedError(f"the database refuses the login: {error}") from error
            except (OSError, asyncpg.CannotConnectNowError):
                if not self._probe.report_unreachable():
                    raise

    async def _release(self, connection: "PooledConnection") -> None:
        """Return a connection to the pool, even if this task is cancelled."""
        if self._probe.is_down:
            terminate(connection)
        # The caller's statements are complete, so an error during the clean-up must not reach the caller.
        with CancelScope(shield=True), suppress(*LOST):
            await self._pool.release(connection, timeout=CLEANUP_TIMEOUT)


@asynccontextmanager
async def open_database(
    dsn: str,
    *,
    size: int = 8,
    acquire_timeout: float = 10.0,
    command_timeout: float = 30.0,
    idle_timeout: float = 5.0,
    silence_timeout: float = 3.0,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncGenerator[Database, None]:
    """Open a pool of at most `size` connections to `dsn`, which connect when they are needed.

    Times are in seconds. The server cancels a statement after `command_timeout`. It rolls back a transaction
    that is idle for `idle_timeout`, so that a frozen process does not keep its locks. While `Database.watch`
    runs, a server that does not answer the health probe within `silence_timeout` is treated as down.
    `settings` are those of the server for these connections.
    """
    probe = HealthProbe(dsn, silence_timeout)

    async def init(connection: Connection) -> None:
        cast("_Connection", connection).generation = probe.generation
        await prepare(connection)
        if settings:  # not when it connects: a pooler refuses parameters that it does not know
            await connection.execute("".join(f"SET {name} = '{value}';" for name, value in settings.items()))

    pool = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size,
        timeout=acquire_timeout,
        command_timeout=command_timeout + _REPLY_GRACE,
        server_settings={
            "statement_timeout": str(int(command_timeout * 1000)),
            "idle_in_transaction_session_timeout": str(int(idle_timeout * 1000)),
        },
        init=init,
        reset=_skip_reset,
        connection_class=_Connection,
    )
    database = Database(pool, acquire_timeout, probe)
    try:
        yield database
    finally:
        await database.close()


async def _skip_reset(connection: Connection) -> None:
    """Skip asyncpg's reset on release, which costs a statement: no code here changes session state."""

"""The elector: one orchestrator leads, the one that holds an advisory lock of the database."""

import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import asyncpg
import structlog
from anyio import sleep

from ..postgres.faults import LOST, REFUSED
from ..scenarios.leadership import APPLICATION, LOCK
from ..scenarios.notifications import CHANNEL

log = structlog.get_logger(__name__)

_RETRY = 1.0  # seconds
_CHECK_EVERY = 0.1  # seconds
_AWAY = (*LOST, *REFUSED)


class AlreadyRunningError(Exception):
    """Another process uses a database that this process must have for itself."""


class Leadership:
    """A session advisory lock, released when its connection closes."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection
        self._checked = time.monotonic()

    async def is_held(self) -> bool:
        """Ask the server over the connection that holds the lock, if it was not asked just now."""
        now = time.monotonic()
        if now - self._checked < _CHECK_EVERY and not self._connection.is_closed():
            return True
        self._checked = now
        try:
            await self._connection.execute("SELECT")
        except _AWAY as error:
            log.warning("leadership lost", error=str(error) or type(error).__name__)
            return False
        return True


@asynccontextmanager
async def lead(
    dsn: str,
    wake: Callable[[], None],
    *,
    ignore_sender: str = "",
    silence: float,
    patience: float = math.inf,
) -> AsyncGenerator[Leadership, None]:
    """Wait for the lock and hold it. Calls `wake` when a process announces that scenarios changed.

    Announcements of `ignore_sender` are ignored. The server closes the connection after `silence` seconds
    without a statement, so that a frozen leader is replaced. An unavailable database is waited for. Raises
    AlreadyRunningError if another process has held the lock for `patience` seconds.
    """
    refused_since: float | None = None
    while True:
        try:
            connection = await _take_lock(dsn, wake, ignore_sender, silence)
        except _AWAY as error:
            log.warning("cannot try to become leader", error=str(error) or type(error).__name__)
            refused_since = None
        else:
            if connection is not None:
                break
            refused_since = refused_since or time.monotonic()
            if time.monotonic() - refused_since >= patience:
                raise AlreadyRunningError(
                    "another videoanalysis process runs on this database; stop it, or give this one a"
                    " VA_DATA_DIR (or VA_SCENARIOS_DSN) of its own"
                )
        await sleep(_RETRY)
    try:
        yield Leadership(connection)
    finally:
        connection.terminate()


async def _take_lock(
    dsn: str, wake: Callable[[], None], ignore_sender: str, silence: float
) -> "asyncpg.Connection[asyncpg.Record] | None":
    """Return a connection that holds the lock, or None if another process holds it."""

    def hear(_connection: object, _pid: int, _channel: str, sender: object) -> None:
        if sender != ignore_sender:
            wake()

    connection = await asyncpg.connect(
        dsn,
        timeout=10,
        command_timeout=5,
        server_settings={"idle_session_timeout": str(int(silence * 1000)), "application_name": APPLICATION},
    )
    taken = False
    try:
        await connection.add_listener(CHANNEL, hear)
        taken = await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK)
        return connection if taken else None
    finally:
        if not taken:
            connection.terminate()

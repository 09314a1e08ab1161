"""One orchestrator leads: whoever holds an advisory lock on a connection of its own."""

import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import asyncpg
import structlog
from anyio import sleep

from ..postgres.faults import LOST, REFUSED
from ..scenarios.notifications import CHANNEL

log = structlog.get_logger(__name__)

_LOCK = 0x76615F6C656164  # "va_lead"; any constant will do, so long as every process uses it
_RETRY = 1.0
_AWAY = (*LOST, *REFUSED)


class AlreadyRunningError(Exception):
    """Another process leads a database that this one must have to itself."""


class Leadership:
    """A held lock. It is lost with its connection."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def is_held(self) -> bool:
        """Ask the server over the lock's own connection."""
        try:
            await self._connection.execute("SELECT")
        except _AWAY as error:
            log.warning("leadership lost", error=str(error) or type(error).__name__)
            return False
        return True


@asynccontextmanager
async def lead(
    dsn: str, wake: Callable[[], None], *, but_by: str = "", silence: float, patience: float = math.inf
) -> AsyncGenerator[Leadership, None]:
    """Wait for the lock and hold it. `wake` is called when others than `but_by` say that scenarios moved.

    The server ends the session after `silence` seconds without a word, so that a frozen leader is replaced.
    A database that is away is waited for. Raises AlreadyRunningError once the lock has been another's for
    `patience` seconds.
    """
    refused_since: float | None = None
    while True:
        try:
            connection = await _take_lock(dsn, wake, but_by, silence)
        except _AWAY as error:
            log.warning("cannot ask for leadership", error=str(error) or type(error).__name__)
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
    dsn: str, wake: Callable[[], None], but_by: str, silence: float
) -> "asyncpg.Connection[asyncpg.Record] | None":
    """A connection that holds the lock; None where another has it."""

    def hear(_connection: object, _pid: int, _channel: str, sender: object) -> None:
        if sender != but_by:
            wake()

    connection = await asyncpg.connect(
        dsn,
        timeout=10,
        command_timeout=5,
        server_settings={"idle_session_timeout": str(int(silence * 1000))},
    )
    taken = False
    try:
        await connection.add_listener(CHANNEL, hear)
        taken = await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK)
        return connection if taken else None
    finally:
        if not taken:
            connection.terminate()

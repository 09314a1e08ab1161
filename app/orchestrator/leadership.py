"""One orchestrator leads: whoever holds an advisory lock on a connection of its own."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import asyncpg
import structlog
from anyio import sleep

from app.orchestrator.store import CHANNEL
from app.postgres import TRANSIENT

log = structlog.get_logger(__name__)

_LOCK = 0x76615F6C656164  # "va_lead"; any constant will do, so long as every process uses it
_RETRY = 1.0
# The latter is what using a connection raises that was lost before.
_LOST: tuple[type[Exception], ...] = (*TRANSIENT, asyncpg.InterfaceError)


class AlreadyRunningError(Exception):
    """Another process leads a database that this one must have to itself."""


class Leadership:
    """A held lock. It is lost with its connection."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def is_held(self) -> bool:
        """Ask the server over the lock's own connection."""
        try:
            await self._connection.execute("SELECT", timeout=5)
        except _LOST as error:
            log.warning("leadership lost", error=str(error) or type(error).__name__)
            return False
        return True


@asynccontextmanager
async def lead(
    dsn: str, wake: Callable[[], None], *, silence: float, give_up_after: float | None
) -> AsyncGenerator[Leadership, None]:
    """Wait for the lock and hold it. `wake` is called whenever a scenario changed.

    The server ends the session after `silence` seconds without a word, so that a frozen leader is replaced.
    Raises AlreadyRunningError where the lock is still another's after `give_up_after` seconds.
    """
    deadline = None if give_up_after is None else time.monotonic() + give_up_after
    while True:
        connection = None
        try:
            connection = await asyncpg.connect(
                dsn, timeout=10, server_settings={"idle_session_timeout": str(int(silence * 1000))}
            )
            if await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                await connection.add_listener(CHANNEL, lambda *_: wake())
                break
            await connection.close(timeout=5)
        except _LOST as error:
            log.warning("cannot ask for leadership", error=str(error) or type(error).__name__)
            if connection is not None:
                connection.terminate()
        if deadline is not None and time.monotonic() > deadline:
            raise AlreadyRunningError(
                "another videoanalysis process runs on this database; stop it, or give this one a"
                " VA_DATA_DIR (or VA_SCENARIOS_DSN) of its own"
            )
        await sleep(_RETRY)
    try:
        yield Leadership(connection)
    finally:
        connection.terminate()

"""A health probe for a database server, so that no wait outlasts a silent server by much."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic

import asyncpg
import structlog
from anyio import CancelScope, Event, current_time, fail_after, sleep

from .faults import LOST

log = structlog.get_logger(__name__)

_POLL = 0.25  # seconds
_DOWN: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class SilentServerError(TimeoutError):
    """The server does not answer the health probe."""


class DeadlineError(TimeoutError):
    """A wait reached its deadline, whatever the reason."""


class HealthProbe:
    """Sends a statement over its own connection when a caller has waited for a while.

    A server that refuses the connection, or takes more than `timeout` seconds to answer, is down. Then all
    current waits end with an error, and new ones wait until it is up again.
    """

    def __init__(self, dsn: str, timeout: float) -> None:
        self._dsn = dsn
        self._timeout = timeout
        self._waits: dict[CancelScope, float] = {}
        self._needed = Event()
        self._up = Event()
        self._up.set()
        self._is_running = False
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self.generation = 0
        """How often the server was found down. Connections of an earlier generation may be dead unnoticed."""

    @property
    def is_down(self) -> bool:
        """Whether the server failed to answer the last probe."""
        return not self._up.is_set()

    async def wait_until_up(self) -> None:
        """Return when the server is up, or not known to be down."""
        await self._up.wait()

    def report_unreachable(self) -> bool:
        """Make new callers wait until the probe has tested the server. Return False if it is not running."""
        if self._is_running and not self.is_down:
            self._up = Event()
            self._needed.set()
        return self._is_running

    @contextmanager
    def bounded(self, deadline: float = inf) -> Iterator[None]:
        """End the block early if the server goes down, or at `deadline` on the clock of `current_time`.

        Raises:
            SilentServerError: the server went down.
            DeadlineError: the deadline has passed.
        """
        with CancelScope(deadline=deadline) as scope:
            self._waits[scope] = monotonic()
            self._needed.set()
            try:
                yield
            finally:
                del self._waits[scope]
        if scope.cancelled_caught:
            if current_time() >= deadline:
                raise DeadlineError("the database was too busy to answer in time")
            raise SilentServerError("the database does not answer")

    async def run(self) -> None:
        """Probe the server when it is needed, until cancelled."""
        self._is_running = True
        try:
            while True:
                await self._needed.wait()
                await sleep(_POLL)
                if self.is_down or self._has_long_wait():
                    await self._probe()
                elif not self._waits:
                    self._needed = Event()
        finally:
            self._is_running = False
            self._up.set()
            self._disconnect()

    def _has_long_wait(self) -> bool:
        return bool(self._waits) and monotonic() - next(iter(self._waits.values())) >= _POLL

    async def _probe(self) -> None:
        was_down = self.is_down
        try:
            with fail_after(self._timeout):
                await self._ping()
        except _DOWN as error:
            self._disconnect()
            self._mark_down()
            if not was_down:
                log.warning("a database does not answer", error=repr(error))
        except asyncpg.PostgresError:  # an error is an answer too
            self._up.set()
        else:
            self._up.set()
            if was_down:
                log.info("a database answers again")

    async def _ping(self) -> None:
        if self._connection is not None:
            try:
                await self._connection.execute("SELECT")
            except LOST:
                self._disconnect()
            else:
                return
        self._connection = await asyncpg.connect(self._dsn, timeout=self._timeout)

    def _mark_down(self) -> None:
        self.generation += 1
        if not self.is_down:
            self._up = Event()
        for scope in self._waits:
            scope.cancel()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

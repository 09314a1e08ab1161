"""Whether a server answers: asked only while somebody waits for it, so that no wait outlasts a silence."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic

import asyncpg
import structlog
from anyio import CancelScope, Event, current_time, fail_after, sleep

from .faults import LOST

log = structlog.get_logger(__name__)

_POLL = 0.25
_AWAY: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class SilentError(TimeoutError):
    """The server fell silent."""


class LateError(TimeoutError):
    """A wait took too long, whoever is to blame."""


class Pulse:
    """Asks the server over a connection of its own once somebody has waited a while.

    A server that refuses connections, or takes more than `silence` seconds to answer, is away. That ends
    every wait on it, and until it answers again, nobody else need try.
    """

    def __init__(self, dsn: str, silence: float) -> None:
        self._dsn = dsn
        self._silence = silence
        self._waits: dict[CancelScope, float] = {}
        self._needed = Event()
        self._answers = Event()
        self._answers.set()
        self._runs = False
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self.losses = 0
        """How often it was found away. A connection from before that may lead nowhere, and never say so."""

    @property
    def is_away(self) -> bool:
        """Whether the server did not answer when it was last asked."""
        return not self._answers.is_set()

    async def answering(self) -> None:
        """Return once the server answers, as far as is known."""
        await self._answers.wait()

    def doubt(self) -> bool:
        """Have the server asked before others try: it could not be reached. False where nobody asks."""
        if self._runs and not self.is_away:
            self._answers = Event()
            self._needed.set()
        return self._runs

    @contextmanager
    def bounding(self, deadline: float = inf) -> Iterator[None]:
        """Ends the block with SilentError where the server falls silent in the middle of it.

        At the deadline, by the clock of `current_time`, it ends with LateError.
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
                raise LateError("the database had no time for this")
            raise SilentError("the database does not answer")

    async def run(self) -> None:
        """Keep watch until cancelled."""
        self._runs = True
        try:
            while True:
                await self._needed.wait()
                await sleep(_POLL)
                if self.is_away or self._somebody_waits():
                    await self._ask()
                elif not self._waits:
                    self._needed = Event()
        finally:
            self._runs = False
            self._answers.set()
            self._hang_up()

    def _somebody_waits(self) -> bool:
        return bool(self._waits) and monotonic() - next(iter(self._waits.values())) >= _POLL

    async def _ask(self) -> None:
        was_away = self.is_away
        try:
            with fail_after(self._silence):
                await self._greet()
        except _AWAY as error:
            self._hang_up()
            self._lose()
            if not was_away:
                log.warning("a database does not answer", error=repr(error))
        except asyncpg.PostgresError:  # whatever it has to say, it answers
            self._answers.set()
        else:
            self._answers.set()
            if was_away:
                log.info("a database answers again")

    async def _greet(self) -> None:
        if self._connection is not None:
            try:
                await self._connection.execute("SELECT")
            except LOST:
                self._hang_up()
            else:
                return
        self._connection = await asyncpg.connect(self._dsn, timeout=self._silence)

    def _lose(self) -> None:
        self.losses += 1
        if not self.is_away:
            self._answers = Event()
        for scope in self._waits:
            scope.cancel()

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

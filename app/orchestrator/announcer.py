"""Announcements that scenarios changed, for event streams and for the other orchestrators."""

import math
from uuid import uuid4

from anyio import sleep

from ..postgres import Connection, Database
from ..scenarios.notifications import CHANNEL
from .signals import Signals
from .transactions import attempt

_MIN_INTERVAL = 0.02  # seconds between two announcements, so that many changes share one


async def announce(connection: Connection, sender: str) -> None:
    """Notify the listeners. They get `sender`, so that an orchestrator can ignore its own announcements."""
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, sender)


class Announcer:
    """Announces changes soon after they happen."""

    def __init__(self, database: Database, signals: Signals) -> None:
        self.id = str(uuid4())
        self._database = database
        self._signals = signals

    async def run(self) -> None:
        """Announce whenever signalled, until cancelled."""
        while True:
            await self._signals.announcer.wait(math.inf)
            await attempt(self._announce)
            await sleep(_MIN_INTERVAL)

    async def _announce(self) -> None:
        async with self._database.connection() as connection:
            await announce(connection, self.id)

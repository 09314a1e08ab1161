"""Removes the predictions of deleted scenarios: a tombstone at once, the rows in short batches behind it."""

from collections.abc import Awaitable, Callable

import structlog
from anyio import current_time, sleep

from ...concurrency.wake import Wake
from ...messages import DropResults, Message
from ...postgres import TRANSIENT, Database
from .. import checkpoints as store

log = structlog.get_logger(__name__)

BATCH = 1_000
POLL = 30.0


class Purge:
    """Tombstones are durable, so rows that a dying process left are found by the next look of any runner."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wake = Wake()

    async def handle(self, message: Message) -> None:
        """Leave the tombstone."""
        assert isinstance(message, DropResults)  # noqa: S101 - the topic holds nothing else
        async with self._database.connection() as connection:
            await store.drop(connection, message.scenario_id)
        self._wake.set()

    async def run(self) -> None:
        """Remove rows until cancelled."""
        while True:
            try:
                await gently(self._remove_some)
            except TRANSIENT as error:
                log.warning("purge waits", error=repr(error))
                await sleep(1)
            else:
                await self._wake.wait(POLL)

    async def _remove_some(self) -> bool:
        async with self._database.transaction() as connection:
            scenario_id = await store.next_to_purge(connection)
            if scenario_id is None:
                return False
            removed = await store.purge(connection, scenario_id, BATCH)
        if removed < BATCH:
            log.info("removed all predictions", scenario=str(scenario_id))
        return True


async def gently(remove_some: Callable[[], Awaitable[bool]]) -> None:
    """Call it until it returns False, resting after each call for as long as that took: the server is for
    those who write and read, half of the time."""
    began = current_time()
    while await remove_some():
        await sleep(current_time() - began)
        began = current_time()

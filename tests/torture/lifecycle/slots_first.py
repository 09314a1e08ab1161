"""A dispatcher whose transactions get their place in the order of events too early."""

from typing import Any, cast

from app.domain.features import FEATURES
from app.orchestrator import store
from app.orchestrator.decisions import apply_each
from app.orchestrator.dispatcher import Dispatcher, free_slots, lock_slots
from app.orchestrator.lifecycle import AssignRun
from app.postgres import Connection

_MOST = 50
_AHEAD = "age(xmin) < 0"


class _Unordered:
    """A connection on which no scenario is ahead of its transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, query: str, *values: object) -> Any:
        assert _AHEAD in query
        return await self._connection.fetch(query.replace(_AHEAD, "false"), *values)


async def dispatch_batch(self: Dispatcher, connection: Connection) -> bool:
    """`Dispatcher._dispatch_batch`, but it locks the slots first, and then takes whatever waits."""
    free = await free_slots(connection, self._grace, _MOST)
    slots = await lock_slots(connection, free)
    unordered = cast("Connection", _Unordered(connection))
    waiting = await store.lock_waiting(unordered, len(slots), FEATURES) if slots else []
    await apply_each(connection, zip(waiting, [AssignRun(slot.instance) for slot in slots], strict=False))
    return len(waiting) == _MOST

"""A dispatcher whose transactions get their place in the order of events too early."""

from app.domain.features import FEATURES
from app.orchestrator import store
from app.orchestrator.decisions import apply_each
from app.orchestrator.dispatcher import Dispatcher, find_free_runners, lock_slots
from app.orchestrator.lifecycle import AssignRun
from app.orchestrator.transactions import repeat
from app.postgres import Connection
from tests.torture.statements import rewriting

_MOST = 50
_AHEAD_OF_ITS_TRANSACTION = "age(xmin) < 0"


async def dispatch(self: Dispatcher) -> None:
    """`Dispatcher.dispatch`, but it locks the slots first, and then takes whatever waits."""

    async def batch(connection: Connection) -> bool:
        free = (await find_free_runners(connection, self._grace)).free_slots(_MOST)
        slots = await lock_slots(connection, free)
        unordered = rewriting(connection, {_AHEAD_OF_ITS_TRANSACTION: "false"})
        waiting = await store.lock_waiting(unordered, len(slots), FEATURES) if slots else []
        await apply_each(connection, zip(waiting, [AssignRun(slot.instance) for slot in slots], strict=False))
        return len(waiting) == _MOST

    await repeat(self._database, self._signals, batch)

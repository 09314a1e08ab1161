"""Handing out runs in transactions that get their place in the order of events too early."""

from app.orchestrator import leases, store
from app.orchestrator.leader import Leader
from app.orchestrator.lifecycle import AssignRun
from app.orchestrator.service import apply_each
from app.postgres import Connection

_MOST = 50


async def hand_out(self: Leader, connection: Connection) -> bool:
    """`Leader._hand_out`, but that it locks the slots first."""
    free = await leases.free_slots(connection, self._timing.grace, _MOST)
    slots = await leases.lock_slots(connection, free)
    waiting = await store.lock_waiting(connection, len(slots)) if slots else []
    await apply_each(connection, zip(waiting, map(AssignRun, slots), strict=False))
    return len(waiting) == _MOST

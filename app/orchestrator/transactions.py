"""How the duties of the leader use the database: in short transactions, and again after a fault."""

from collections.abc import Awaitable, Callable

import structlog

from ..postgres import TRANSIENT, Connection, Database
from .signals import Signals

log = structlog.get_logger(__name__)


async def repeat(database: Database, signals: Signals, step: Callable[[Connection], Awaitable[bool]]) -> None:
    """Run `step`, each time in a transaction of its own, until it returns False."""
    has_more = True
    while has_more:
        async with database.transaction() as connection:
            has_more = await step(connection)
        signals.after_decision()


async def attempt(work: Callable[[], Awaitable[None]]) -> bool:
    """Return whether `work` succeeded. A transient fault of the database is logged."""
    try:
        await work()
    except TRANSIENT as error:
        log.warning("database unavailable, will try again", error=str(error) or type(error).__name__)
        return False
    return True

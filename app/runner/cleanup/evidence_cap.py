"""Keep the pictures of events below VA_EVIDENCE_MAX_GB: remove the oldest of all scenarios first."""

import structlog
from anyio import sleep

from ...postgres import TRANSIENT, Connection, Database
from ..metrics import EVIDENCE_SIZE, REMOVED_PICTURES
from .purge import repeat_with_pauses

log = structlog.get_logger(__name__)

POLL = 30.0  # seconds

_ROWS = 200  # of one transaction
_LOCK = 0x76615F65766964  # "va_evid": any constant that all runners share


async def bound_evidence(database: Database, most: int) -> None:
    """Until cancelled, remove the oldest pictures if all of them have more than `most` bytes.

    All runners do this, one at a time.
    """
    while True:
        total = 0

        async def remove() -> bool:
            nonlocal total
            async with database.transaction() as connection:
                removed = await remove_excess(connection, most, _ROWS)
            total += removed
            REMOVED_PICTURES.inc(removed)
            return removed > 0

        try:
            await repeat_with_pauses(remove)
            async with database.connection() as connection:
                EVIDENCE_SIZE.set(await count_bytes(connection))
        except TRANSIENT as error:
            log.warning("cannot remove old pictures of events yet", error=repr(error))
        if total:
            log.info("removed the oldest pictures of events", pictures=total, max_bytes=most)
        await sleep(POLL)


async def count_bytes(connection: Connection) -> int:
    """Return how many bytes the pictures of all scenarios have. It reads an index, not the pictures."""
    size: int = await connection.fetchval("SELECT coalesce(sum(bytes), 0)::bigint FROM evidence")
    return size


async def remove_excess(connection: Connection, most: int, limit: int) -> int:
    """Remove up to `limit` of the oldest pictures, no more than needed to have at most `most` bytes.

    It needs a transaction: until it ends, other callers remove nothing. Returns how many were removed.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
        return 0
    excess = await count_bytes(connection) - most
    if excess <= 0:
        return 0
    removed: int = await connection.fetchval(
        """
        WITH oldest AS (
            SELECT scenario_id, frame, sum(bytes) OVER (ORDER BY time, scenario_id, frame) - bytes AS before
              FROM (SELECT scenario_id, frame, time, bytes FROM evidence
                     ORDER BY time, scenario_id, frame LIMIT $2) AS e
        ), removed AS (
            -- The trigger removes the picture when it has no event any more.
            DELETE FROM event_pictures AS p USING oldest AS o
             WHERE p.scenario_id = o.scenario_id AND p.frame = o.frame AND o.before < $1
            RETURNING p.scenario_id, p.frame
        )
        SELECT count(DISTINCT (scenario_id, frame)) FROM removed
        """,
        excess,
        limit,
    )
    return removed

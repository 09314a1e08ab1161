"""Bound the table of deliveries, whether or not a notifier runs."""

from collections import Counter

import structlog
from anyio import sleep

from ...postgres import TRANSIENT, Connection, Database
from ..metrics import DROPPED_DELIVERIES
from .purge import repeat_with_pauses

log = structlog.get_logger(__name__)

MOST_WAITING = 10_000  # for one channel
GIVE_UP = 24 * 3600.0  # seconds
KEEP = 7 * 24 * 3600.0  # seconds

_POLL = 10.0  # seconds
_ROWS = 1_000  # of one statement


async def bound_deliveries(database: Database) -> None:
    """Until cancelled, drop and end what waits for too many or too long, and remove what ended long ago.

    All runners do this. It does not matter which of them removes a row.
    """
    while True:
        try:
            await _bound(database)
        except TRANSIENT as error:
            log.warning("cannot remove old deliveries yet", error=repr(error))
        await sleep(_POLL)


async def _bound(database: Database) -> None:
    async def drop() -> bool:
        async with database.connection() as connection:
            dropped = await drop_excess(connection, MOST_WAITING)
        for channel, count in dropped.items():
            DROPPED_DELIVERIES.labels(channel).inc(count)
            log.error("too many deliveries wait: dropped the oldest", channel=channel, count=count)
        return bool(dropped)

    async def give_up() -> bool:
        async with database.connection() as connection:
            return await give_up_old(connection, GIVE_UP) > 0

    async def remove() -> bool:
        async with database.connection() as connection:
            return await remove_ended(connection, KEEP) > 0

    async def remove_of_deleted() -> bool:
        async with database.connection() as connection:
            return await remove_deleted(connection) > 0

    for work in (drop, give_up, remove, remove_of_deleted):
        await repeat_with_pauses(work)


async def drop_excess(connection: Connection, most: int) -> Counter[str]:
    """Delete up to 1,000 of the oldest that wait for channels with more than `most`; return their number.

    What is being sent at the moment stays.
    """
    rows = await connection.fetch(
        """
        WITH excess AS (
            SELECT channel, count(*) - $1 AS rows FROM deliveries WHERE state = 'pending'
             GROUP BY channel HAVING count(*) > $1
        ), oldest AS (
            SELECT chosen.id FROM excess CROSS JOIN LATERAL (
                SELECT id FROM deliveries AS d
                 WHERE d.channel = excess.channel AND state = 'pending'
                   AND (lease IS NULL OR due_at <= clock_timestamp())
                 ORDER BY number LIMIT least(excess.rows, $2) FOR UPDATE SKIP LOCKED) AS chosen
        )
        DELETE FROM deliveries AS d USING oldest WHERE d.id = oldest.id RETURNING d.channel
        """,
        most,
        _ROWS,
    )
    return Counter(row["channel"] for row in rows)


async def give_up_old(connection: Connection, seconds: float) -> int:
    """Make up to 1,000 deliveries dead that have waited for `seconds`, and return how many they were."""
    status: str = await connection.execute(
        """
        WITH old AS (
            SELECT id FROM deliveries
             WHERE state = 'pending' AND waits_since < clock_timestamp() - make_interval(secs => $1)
               AND (lease IS NULL OR due_at <= clock_timestamp())
             LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries AS d
           SET state = 'dead', lease = NULL, ended_at = clock_timestamp(),
               error = coalesce(error, 'no notifier that knows the channel has tried to send it')
          FROM old WHERE d.id = old.id
        """,
        seconds,
        _ROWS,
    )
    return int(status.rpartition(" ")[2])


async def remove_ended(connection: Connection, seconds: float) -> int:
    """Remove up to 1,000 deliveries that ended more than `seconds` ago, and return how many they were."""
    status: str = await connection.execute(
        """
        DELETE FROM deliveries WHERE id = ANY (ARRAY(
            SELECT id FROM deliveries
             WHERE state <> 'pending' AND ended_at < clock_timestamp() - make_interval(secs => $1)
             LIMIT $2 FOR UPDATE SKIP LOCKED))
        """,
        seconds,
        _ROWS,
    )
    return int(status.rpartition(" ")[2])


async def remove_deleted(connection: Connection) -> int:
    """Remove up to 1,000 deliveries of scenarios that were deleted in the last day, and return the number.

    What is left of an older one is never sent, and is removed with what ended long ago.
    """
    status: str = await connection.execute(
        """
        DELETE FROM deliveries WHERE id = ANY (ARRAY(
            SELECT d.id FROM checkpoints AS c JOIN deliveries AS d USING (scenario_id)
             WHERE c.dropped AND c.updated_at > clock_timestamp() - interval '1 day'
             LIMIT $1))
        """,
        _ROWS,
    )
    return int(status.rpartition(" ")[2])

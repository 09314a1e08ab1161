"""Remove what event streams no longer tell: a client that was away for more than a day is refused."""

import structlog
from anyio import sleep

from ...postgres import TRANSIENT, Connection, Database
from .purge import repeat_with_pauses

log = structlog.get_logger(__name__)

KEEP = 25 * 3600.0
"""Seconds: an hour longer than clients may be away."""

_POLL = 600.0  # seconds
_ROWS = 10_000  # of one statement


async def remove_old_entries(database: Database) -> None:
    """Until cancelled, remove old entries of the stream.

    All runners do this. It does not matter which of them removes an entry.
    """

    async def remove() -> bool:
        async with database.connection() as connection:
            return await remove_oldest_entries(connection, KEEP) > 0

    while True:
        try:
            await repeat_with_pauses(remove)
        except TRANSIENT as error:
            log.warning("cannot remove old entries of the stream yet", error=repr(error))
        await sleep(_POLL)


async def remove_oldest_entries(connection: Connection, seconds: float) -> int:
    """Remove up to 10,000 entries that are more than `seconds` old, and return how many they were.

    The newest of the old ones stays: by its age, a client whose position is before it learns that it missed
    something.
    """
    status: str = await connection.execute(
        """
        WITH oldest AS (SELECT xid, id, at FROM stream_entries ORDER BY xid, id LIMIT $2 + 1),
             kept AS (SELECT xid, id FROM oldest WHERE at < clock_timestamp() - make_interval(secs => $1)
                       ORDER BY xid DESC, id DESC LIMIT 1)
        DELETE FROM stream_entries AS e USING kept WHERE (e.xid, e.id) < (kept.xid, kept.id)
        """,
        seconds,
        _ROWS,
    )
    return int(status.rpartition(" ")[2])

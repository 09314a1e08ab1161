"""The pruner deletes answers to commands and runner instances that are no longer needed."""

import time

from ..postgres import Connection, Database

_INTERVAL = 3600.0
_BATCH = 5000


class Pruner:
    """Prunes once an hour, a batch at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next_run = 0.0

    async def run_once(self) -> None:
        """Delete one batch, if it is time."""
        if time.monotonic() > self._next_run:
            async with self._database.connection() as connection:
                has_more = await prune(connection)
            self._next_run = time.monotonic() + (0 if has_more else _INTERVAL)


async def prune(connection: Connection, limit: int = _BATCH) -> bool:
    """Delete runner instances long gone, and up to `limit` answers that no redelivery can need any more.

    Returns whether there may be more answers to delete. Instances that were replaced are kept longer: one
    that was only frozen would count as new when it wakes, and replace the one that took its name.
    """
    await connection.execute(
        "DELETE FROM runners WHERE heartbeat_at < now()"
        " - CASE WHEN superseded THEN interval '90 days' ELSE interval '1 day' END"
    )
    done = await connection.execute(
        """
        DELETE FROM handled_commands WHERE command_id = ANY (ARRAY(
            SELECT command_id FROM handled_commands WHERE handled_at < now() - interval '8 days'
             ORDER BY handled_at LIMIT $1))
        """,
        limit,
    )
    return done == f"DELETE {limit}"

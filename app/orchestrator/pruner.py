"""The pruner deletes old answers and runner instances, and adds up the counts of batches."""

import time

from ..postgres import Connection, Database

_INTERVAL = 3600.0
_BATCH = 5000
_SUM_INTERVAL = 10.0
_MANY = 200  # rows with counts of one batch


class Pruner:
    """Prunes once an hour, 5,000 answers at a time; adds up the counts of batches every ten seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next_run = 0.0
        self._next_sum = 0.0

    async def run_once(self) -> None:
        """Do what it is time for."""
        if time.monotonic() > self._next_sum:
            async with self._database.connection() as connection:
                await add_up_counts(connection)
            self._next_sum = time.monotonic() + _SUM_INTERVAL
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


async def add_up_counts(connection: Connection, many: int = _MANY) -> None:
    """Replace the rows with counts of each batch that has more than `many` by their sums.

    Those of a batch without scenarios, as of one that was deleted, are removed.
    """
    await connection.execute(
        """
        WITH removed AS (
            DELETE FROM batch_counts WHERE batch_id IN (
                SELECT batch_id FROM batch_counts GROUP BY batch_id
                HAVING count(*) > $1 OR sum(number) = 0)
            RETURNING *
        )
        INSERT INTO batch_counts
        SELECT batch_id, state, outcome, sum(number) FROM removed GROUP BY 1, 2, 3 HAVING sum(number) <> 0
        """,
        many,
    )

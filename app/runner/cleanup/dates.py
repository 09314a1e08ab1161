"""Change the date of a recording: at once for events to come, in the background for those that are stored."""

import structlog
from anyio import sleep

from ...concurrency.wake import Wake
from ...messages import DateResults, Message
from ...postgres import TRANSIENT, Connection, Database
from .purge import repeat_with_pauses

log = structlog.get_logger(__name__)

ROWS = 1_000  # of one transaction
POLL = 30.0  # seconds


class Dates:
    """Changes are durable: any runner goes on where one was killed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wake = Wake()

    async def handle(self, message: Message) -> None:
        """Note the new date."""
        assert isinstance(message, DateResults)  # noqa: S101 - the topic holds nothing else
        async with self._database.connection() as connection:
            await change_date(connection, message)
        self._wake.set()

    async def run(self) -> None:
        """Give stored events their new dates, until cancelled."""
        while True:
            try:
                await repeat_with_pauses(self._redate_some)
            except TRANSIENT as error:
                log.warning("cannot change dates of events yet", error=repr(error))
                await sleep(1)
            else:
                await self._wake.wait(POLL)

    async def _redate_some(self) -> bool:
        async with self._database.connection() as connection:
            return await redate_events(connection, ROWS)


async def change_date(connection: Connection, change: DateResults) -> None:
    """Note the date of a recording, unless a later change or a deletion is known."""
    await connection.execute(
        """
        UPDATE checkpoints
           SET pins = coalesce(pins, '{}') || jsonb_build_object('recorded_at', $3::double precision),
               dated_by = $2, redate_from = 1
         WHERE scenario_id = $1 AND dated_by < $2 AND NOT dropped AND NOT live
        """,
        change.scenario_id,
        change.number,
        change.recorded_at,
    )


async def redate_events(connection: Connection, limit: int) -> bool:
    """Give up to `limit` events of a scenario the date that it has now. Returns False if there is none."""
    found: int = await connection.fetchval(
        """
        WITH due AS (
            SELECT scenario_id, redate_from, (pins->>'recorded_at')::double precision AS began
              FROM checkpoints WHERE redate_from IS NOT NULL AND NOT dropped
             LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
        ), part AS (
            SELECT e.* FROM due CROSS JOIN LATERAL (
                SELECT event_id FROM events
                 WHERE scenario_id = due.scenario_id AND event_id >= due.redate_from
                 ORDER BY event_id LIMIT $1) AS e
        ), redated AS (
            UPDATE events AS e SET at = to_timestamp(start_time + began) FROM due
             WHERE e.scenario_id = due.scenario_id AND event_id = ANY (ARRAY(SELECT event_id FROM part))
               AND at IS DISTINCT FROM to_timestamp(start_time + began)
        ), moved AS (
            UPDATE checkpoints AS c
               SET redate_from = (SELECT CASE WHEN count(*) = $1 THEN max(event_id) + 1 END FROM part)
              FROM due WHERE c.scenario_id = due.scenario_id
        )
        SELECT count(*) FROM due
        """,
        limit,
    )
    return found > 0

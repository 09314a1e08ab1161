"""Delete the predictions of a scenario: leave a tombstone at once, remove the rows in the background."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from anyio import current_time, sleep

from ...concurrency.wake import Wake
from ...messages import DropResults, Message
from ...postgres import TRANSIENT, Connection, Database
from ...predictions.codec import FRAMES_PER_BLOCK
from ...predictions.timeline import BUCKET_SECONDS, TIME_TOLERANCE

log = structlog.get_logger(__name__)

ROWS = 1_000  # of one transaction
POLL = 30.0  # seconds


class Purge:
    """Tombstones are durable: any runner finds the rows that a runner has left when it was killed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wake = Wake()

    async def handle(self, message: Message) -> None:
        """Leave the tombstone."""
        assert isinstance(message, DropResults)  # noqa: S101 - the topic holds nothing else
        async with self._database.connection() as connection:
            await leave_tombstone(connection, message.scenario_id)
        self._wake.set()

    async def run(self) -> None:
        """Remove rows until cancelled."""
        while True:
            try:
                await repeat_with_pauses(self._remove_some)
            except TRANSIENT as error:
                log.warning("cannot remove deleted predictions yet", error=repr(error))
                await sleep(1)
            else:
                await self._wake.wait(POLL)

    async def _remove_some(self) -> bool:
        async with self._database.transaction() as connection:
            scenario_id = await next_deleted_scenario(connection)
            if scenario_id is None:
                return False
            removed = await remove_rows(connection, scenario_id, ROWS)
        if removed < ROWS:
            log.info("removed all predictions", scenario=str(scenario_id))
        return True


async def repeat_with_pauses(work: Callable[[], Awaitable[bool]]) -> None:
    """Call `work` until it returns False. Each pause is as long as the call before it.

    So at least half of the database's time is left for those who store and read.
    """
    began = current_time()
    while await work():
        await sleep(current_time() - began)
        began = current_time()


async def leave_tombstone(connection: Connection, scenario_id: UUID) -> None:
    """Mark a scenario as deleted, so that nothing can be stored for it any more."""
    await connection.execute(
        "INSERT INTO checkpoints (scenario_id, attempt, run_token, dropped)"
        " VALUES ($1, 1, gen_random_uuid(), true)"
        " ON CONFLICT (scenario_id) DO UPDATE SET dropped = true, updated_at = now()",
        scenario_id,
    )


async def next_deleted_scenario(connection: Connection) -> UUID | None:
    """Return a deleted scenario that still has rows, locked until the transaction ends."""
    scenario_id: UUID | None = await connection.fetchval(
        "SELECT scenario_id FROM checkpoints WHERE dropped AND NOT purged LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    return scenario_id


async def remove_rows(connection: Connection, scenario_id: UUID, limit: int) -> int:
    """Remove up to `limit` predictions and as many events of a deleted scenario.

    Returns how many, of whichever are more. If these are fewer than `limit`, it is marked as purged.

    Each call begins where the last one ended: a scan from the first frame would read all dead rows again.
    """
    removed: int = await connection.fetchval(
        """
        WITH removed AS (
            DELETE FROM predictions
             WHERE scenario_id = $1 AND frame = ANY (ARRAY(
                SELECT frame FROM predictions
                 WHERE scenario_id = $1
                   AND frame >= (SELECT purged_before FROM checkpoints WHERE scenario_id = $1)
                 ORDER BY frame LIMIT $2))
            RETURNING frame, time, labels
        ), forgotten AS (
            DELETE FROM label_blocks AS known USING (
                SELECT DISTINCT label, frame / $3 AS block
                  FROM removed, unnest(string_to_array(labels, E'\\n') || ARRAY['']) AS label) AS gone
             WHERE known.scenario_id = $1 AND known.label = gone.label AND known.block = gone.block
        ), uncounted AS (
            DELETE FROM timeline_buckets AS known USING (
                SELECT DISTINCT label, floor(time / $4::double precision + $5)::bigint AS bucket
                  FROM removed, unnest(string_to_array(labels, E'\\n') || ARRAY['']) AS label) AS gone
             WHERE known.scenario_id = $1 AND known.label = gone.label AND known.bucket = gone.bucket
        ), summed AS (
            SELECT count(*) AS rows, max(frame) + 1 AS purged_before FROM removed
        ), removed_events AS (
            DELETE FROM events
             WHERE scenario_id = $1 AND event_id = ANY (ARRAY(
                SELECT event_id FROM events
                 WHERE scenario_id = $1
                   AND event_id >= (SELECT events_purged_before FROM checkpoints WHERE scenario_id = $1)
                 ORDER BY event_id LIMIT $2))
            RETURNING event_id
        ), summed_events AS (
            SELECT count(*) AS rows, max(event_id) + 1 AS purged_before FROM removed_events
        ), marked AS (
            UPDATE checkpoints
               SET purged_before = coalesce(summed.purged_before, checkpoints.purged_before),
                   events_purged_before =
                       coalesce(summed_events.purged_before, checkpoints.events_purged_before),
                   analysis_state = NULL,
                   open_events = '{}', open_end_frames = '{}', open_end_times = '{}',
                   purged = greatest(summed.rows, summed_events.rows) < $2
              FROM summed, summed_events WHERE scenario_id = $1
        ), of_source AS (
            DELETE FROM source_changes USING summed WHERE scenario_id = $1 AND summed.rows < $2
        )
        SELECT greatest(summed.rows, summed_events.rows) FROM summed, summed_events
        """,
        scenario_id,
        limit,
        FRAMES_PER_BLOCK,
        float(BUCKET_SECONDS),
        TIME_TOLERANCE,
    )
    return removed

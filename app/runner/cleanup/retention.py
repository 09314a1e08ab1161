"""Remove old predictions of live sources, one block of frames at a time."""

from uuid import UUID

import structlog
from anyio import sleep

from ...postgres import TRANSIENT, Connection, Database
from ...predictions.codec import FRAMES_PER_BLOCK
from ...predictions.timeline import BUCKET_SECONDS, BUCKETS_PER_PART
from ..metrics import EXPIRED
from .purge import ROWS, repeat_with_pauses

log = structlog.get_logger(__name__)

POLL = 600.0  # seconds
DAY = 86_400.0  # seconds


async def remove_old(database: Database, days: float) -> None:
    """Until cancelled, remove what live sources stored more than `days` days ago.

    All runners do this. It does not matter which of them removes a block.
    """
    while True:
        try:
            async with database.connection() as connection:
                scenarios = await live_scenarios(connection)
            for scenario_id in scenarios:
                await _remove_old_of(database, scenario_id, days)
            async with database.connection() as connection:
                await remove_old_source_changes(connection, days * DAY)
        except TRANSIENT as error:
            log.warning("cannot remove old predictions yet", error=repr(error))
        await sleep(POLL)


async def _remove_old_of(database: Database, scenario_id: UUID, days: float) -> None:
    """Remove the old blocks of one scenario, and log and count what was removed."""
    total = 0

    async def remove_block() -> bool:
        nonlocal total
        async with database.connection() as connection:
            removed = await remove_oldest_block(connection, scenario_id, days * DAY)
        total += removed
        EXPIRED.inc(removed)
        return removed > 0

    async def remove_events() -> bool:
        async with database.connection() as connection:
            return await remove_old_events(connection, scenario_id, days * DAY) > 0

    try:
        await repeat_with_pauses(remove_block)
        await repeat_with_pauses(remove_events)
    finally:
        if total:
            log.info("old predictions removed", scenario=str(scenario_id), predictions=total, days=days)


async def live_scenarios(connection: Connection) -> list[UUID]:
    """Return the scenarios that have a live source, or ask the footage of one, and are not deleted."""
    rows = await connection.fetch(
        "SELECT scenario_id FROM checkpoints WHERE live AND NOT dropped"
        " UNION ALL SELECT scenario_id FROM checkpoints WHERE (footage->>'is_live')::boolean AND NOT dropped"
    )
    return [row["scenario_id"] for row in rows]


async def remove_oldest_block(connection: Connection, scenario_id: UUID, older_than: float) -> int:
    """Remove the oldest block of a live source if all of it is more than `older_than` seconds old.

    Returns the number of predictions removed, 0 if it is not. The block that a run may still write to is
    kept until nobody has claimed or written for `older_than` seconds: that run's next batch relies on the
    block's rows in `label_blocks`. So are frames after the saved state of analysis, which a resumed run
    replays.
    """
    removed: int = await connection.fetchval(
        """
        WITH limits AS (
            SELECT extract(epoch FROM clock_timestamp())::double precision - $2 AS until
        ), due AS (
            SELECT oldest.block, newest.frame, newest.time
              FROM limits, checkpoints c
             CROSS JOIN LATERAL (
                SELECT frame / $3 AS block FROM predictions
                 WHERE scenario_id = $1 AND frame >= c.purged_before
                 ORDER BY frame LIMIT 1) AS oldest
             CROSS JOIN LATERAL (
                SELECT frame, time FROM predictions
                 WHERE scenario_id = $1 AND frame < (oldest.block + 1) * $3
                 ORDER BY frame DESC LIMIT 1) AS newest
             WHERE c.scenario_id = $1 AND c.live AND NOT c.dropped AND newest.time < limits.until
               AND ((oldest.block + 1) * $3 <= least(
                        c.next_frame, CASE WHEN c.analysis_state IS NOT NULL THEN c.analysis_frame END)
                    OR c.updated_at < to_timestamp(limits.until))
               FOR UPDATE OF c SKIP LOCKED
        ), removed AS (
            DELETE FROM predictions AS p USING due
             WHERE p.scenario_id = $1 AND p.frame BETWEEN due.block * $3 AND due.frame
            RETURNING 1
        ), forgotten AS (
            DELETE FROM label_blocks AS known USING due
             WHERE known.scenario_id = $1 AND known.block = due.block
        ), uncounted AS (
            DELETE FROM timeline_buckets AS known USING due
             WHERE known.scenario_id = $1 AND (known.bucket + 1) * $4::double precision <= due.time
        ), unsummed AS (
            DELETE FROM timeline_sums AS known USING due
             WHERE known.scenario_id = $1 AND (known.part + 1) * $5::double precision <= due.time
        ), moved AS (
            UPDATE checkpoints SET purged_before = due.frame + 1 FROM due WHERE scenario_id = $1
        )
        SELECT count(*) FROM removed
        """,
        scenario_id,
        older_than,
        FRAMES_PER_BLOCK,
        float(BUCKET_SECONDS),
        float(BUCKET_SECONDS * BUCKETS_PER_PART),
    )
    return removed


async def remove_old_events(connection: Connection, scenario_id: UUID, older_than: float) -> int:
    """Remove up to ROWS events of a live source that ended more than `older_than` seconds ago.

    Returns how many they were.
    """
    status: str = await connection.execute(
        """
        DELETE FROM events WHERE scenario_id = $1 AND event_id = ANY (ARRAY(
            SELECT event_id FROM events
             WHERE scenario_id = $1 AND state = 'ended'
               AND end_time < extract(epoch FROM clock_timestamp())::double precision - $2
               AND start_time < extract(epoch FROM clock_timestamp())::double precision - $2
             ORDER BY start_time, event_id LIMIT $3 FOR UPDATE SKIP LOCKED))
        """,
        scenario_id,
        older_than,
        ROWS,
    )
    return int(status.rpartition(" ")[2])


async def remove_old_source_changes(connection: Connection, older_than: float) -> None:
    """Remove what the histories of live sources have that is more than `older_than` seconds old."""
    await connection.execute(
        "DELETE FROM source_changes WHERE at < clock_timestamp() - make_interval(secs => $1)", older_than
    )

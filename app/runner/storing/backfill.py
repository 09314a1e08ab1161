"""Count into the timeline what was stored without it: by an earlier version, or before it was there."""

from collections.abc import Sequence
from uuid import UUID

import structlog
from anyio import sleep, to_thread
from asyncpg import Record
from msgspec import structs

from ...postgres import TRANSIENT, Connection, Database
from ...predictions.codec import decode_labels
from ...predictions.timeline import TimelineCounts, count_timeline
from ..cleanup.purge import repeat_with_pauses

log = structlog.get_logger(__name__)

ROWS = 2_000  # of one transaction, for whose time the scenario's own batches wait
POLL = 60.0  # seconds


async def fill_timelines(database: Database) -> None:
    """Until cancelled, bring timelines up to what is stored.

    All runners do this. It does not matter which of them counts a row: it counts once.
    """
    while True:
        try:
            async with database.connection() as connection:
                scenario_ids = await behind(connection)
            for scenario_id in scenario_ids:
                await _fill(database, scenario_id)
        except TRANSIENT as error:
            log.warning("cannot fill timelines yet", error=repr(error))
        await sleep(POLL)


async def _fill(database: Database, scenario_id: UUID) -> None:
    total = 0

    async def count_some() -> bool:
        nonlocal total
        async with database.transaction() as connection:
            counted = await count_stored(connection, scenario_id, ROWS)
        total += counted
        return counted == ROWS

    await repeat_with_pauses(count_some)
    log.info("counted stored predictions into the timeline", scenario=str(scenario_id), predictions=total)


async def behind(connection: Connection) -> list[UUID]:
    """Return the scenarios whose timeline does not count all that is stored."""
    rows = await connection.fetch(
        "SELECT scenario_id FROM checkpoints WHERE timeline_frame < next_frame AND NOT dropped"
    )
    return [row["scenario_id"] for row in rows]


async def count_stored(connection: Connection, scenario_id: UUID, limit: int) -> int:
    """Count up to `limit` predictions of a scenario into its timeline, in the connection's transaction.

    Returns how many. If these are fewer than `limit`, the timeline has all that is stored.
    """
    # Locked by a statement of its own: one that also read the rows might not see those of the last batch.
    checkpoint = await connection.fetchrow(
        "SELECT timeline_frame, next_frame FROM checkpoints"
        " WHERE scenario_id = $1 AND timeline_frame < next_frame AND NOT dropped"
        " FOR NO KEY UPDATE SKIP LOCKED",
        scenario_id,
    )
    if checkpoint is None:
        return 0
    rows = await connection.fetch(
        "SELECT frame, time, labels, confidences, error FROM predictions"
        " WHERE scenario_id = $1 AND frame >= $2 AND frame < $3 ORDER BY frame LIMIT $4",
        scenario_id,
        checkpoint["timeline_frame"],
        checkpoint["next_frame"],
        limit,
    )
    counts = await to_thread.run_sync(_count, rows)
    await connection.execute(
        """
        WITH counted AS (
            INSERT INTO timeline_buckets AS known
            SELECT $1, * FROM unnest(
                $2::text[], $3::bigint[], $4::integer[], $5::integer[], $6::real[], $7::integer[])
            ON CONFLICT (scenario_id, label, bucket) DO UPDATE
               SET frames = known.frames + excluded.frames,
                   detections = known.detections + excluded.detections,
                   max_confidence = greatest(known.max_confidence, excluded.max_confidence),
                   failed = known.failed + excluded.failed
        )
        UPDATE checkpoints SET timeline_frame = $8 WHERE scenario_id = $1
        """,
        scenario_id,
        *structs.astuple(counts),
        rows[-1]["frame"] + 1 if len(rows) == limit else checkpoint["next_frame"],
    )
    return len(rows)


def _count(rows: Sequence[Record]) -> TimelineCounts:
    return count_timeline([decode_labels(row) for row in rows])

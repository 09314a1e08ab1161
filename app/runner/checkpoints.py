"""The predictions database: checkpoints, the fence around them, and predictions; one function a query."""

import time
from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from ..domain.prediction import DETECTOR_FAILED
from ..domain.states import SourceState
from ..postgres import Connection
from ..predictions.checkpoint import Batch, Checkpoint, Counters, Fence, FencedError
from ..predictions.codec import FRAME_END, FRAMES_PER_BLOCK, encode


async def claim(connection: Connection, fence: Fence) -> Checkpoint:
    """Take the fence. Raises FencedError where a newer attempt has it, or the scenario was deleted."""
    (claimed,) = await claim_all(connection, [fence])
    if claimed is None:
        raise FencedError
    return claimed


async def claim_all(connection: Connection, fences: Sequence[Fence]) -> list[Checkpoint | None]:
    """Take fences of several scenarios; None for each that cannot be taken."""
    rows = await connection.fetch(
        """
        INSERT INTO checkpoints AS c (scenario_id, attempt, run_token)
        SELECT * FROM unnest($1::uuid[], $2::integer[], $3::uuid[]) AS asked (scenario_id, attempt, run_token)
         ORDER BY scenario_id
        ON CONFLICT (scenario_id) DO UPDATE
           SET attempt = excluded.attempt, run_token = excluded.run_token, source_state = 'opening',
               frames_per_second = 0, updated_at = now()
         WHERE NOT c.dropped
           AND (c.attempt < excluded.attempt
                OR (c.attempt = excluded.attempt AND c.run_token = excluded.run_token))
        RETURNING *, extract(epoch FROM clock_timestamp())::double precision AS claimed_at,
                  CASE WHEN frames_sampled > 0 AND frames_sampled = frames_failed THEN (
                      SELECT error FROM predictions AS p
                       WHERE p.scenario_id = c.scenario_id AND starts_with(p.error, $4)
                       ORDER BY frame DESC LIMIT 1) END AS last_detector_error
        """,
        [fence.scenario_id for fence in fences],
        [fence.attempt for fence in fences],
        [fence.run_token for fence in fences],
        DETECTOR_FAILED,
    )
    claimed = {row["scenario_id"]: _checkpoint(row) for row in rows}
    return [claimed.get(fence.scenario_id) for fence in fences]


def _checkpoint(row: Record) -> Checkpoint:
    return Checkpoint(
        next_frame=row["next_frame"],
        finished=row["finished"],
        eligible=row["eligible"],
        replay_frame=row["replay_frame"],
        replay_sampled=row["replay_sampled"],
        counters=Counters(
            row["frames_sampled"], row["frames_dropped"], row["frames_failed"], row["detections"]
        ),
        position_seconds=row["position_seconds"],
        # A clock that was set back may not make times decrease: they are searched for by halving.
        unix_offset=max(row["claimed_at"], row["position_seconds"]) - time.monotonic(),
        last_detector_error=row["last_detector_error"],
    )


async def write(connection: Connection, fence: Fence, batch: Batch) -> bool:
    """Store the batch's predictions and move the checkpoint over it; False where it is not at its start.

    It is one statement, so that a process that is frozen at any moment holds no lock that another waits for.
    """
    rows = encode(batch.predictions)
    moved: int = await connection.fetchval(
        """
        WITH moved AS (
            UPDATE checkpoints
               SET next_frame = $5, frames_sampled = $6, frames_dropped = $7, frames_failed = $8,
                   detections = $9, position_seconds = $10, frames_per_second = $11,
                   eligible = coalesce(eligible, $12), replay_frame = $13, replay_sampled = $14,
                   source_state = $15, finished = $16, live = $17, updated_at = now()
             WHERE scenario_id = $1 AND attempt = $2 AND run_token = $3 AND next_frame = $4
               AND NOT dropped AND NOT finished
            RETURNING scenario_id
        ), written AS (
            INSERT INTO predictions (scenario_id, frame, time, labels, confidences, boxes, track_ids, error)
            SELECT scenario_id, frame, time, labels,
                   substr($21::bytea, 4 * start + 1, 4 * (stop - start)),
                   substr($22::bytea, 16 * start + 1, 16 * (stop - start)),
                   track_ids::bigint[], error
              FROM moved, ROWS FROM (
                unnest($18::bigint[], $19::double precision[], $20::integer[], $20[2:], $23::text[],
                       $24::text[]),
                string_to_table($25, $26)
              ) AS p (frame, time, start, stop, track_ids, error, labels)
             WHERE frame IS NOT NULL
        ), noted AS (
            INSERT INTO label_blocks AS known (scenario_id, label, block, max_confidence)
            SELECT scenario_id, found.*
              FROM moved, unnest($27::text[], $28::bigint[], $29::real[]) AS found (label, block, confidence)
             WHERE confidence > coalesce((
                SELECT max_confidence FROM label_blocks AS known
                 WHERE known.scenario_id = moved.scenario_id AND known.label = found.label
                   AND known.block = found.block), -1)
            ON CONFLICT (scenario_id, label, block)
            DO UPDATE SET max_confidence = greatest(known.max_confidence, excluded.max_confidence)
        )
        SELECT count(*) FROM moved
        """,
        fence.scenario_id,
        fence.attempt,
        fence.run_token,
        batch.start,
        batch.end,
        batch.counters.sampled,
        batch.counters.dropped,
        batch.counters.failed,
        batch.counters.detections,
        batch.position_seconds,
        batch.frames_per_second,
        batch.eligible,
        batch.replay_frame,
        batch.replay_sampled,
        batch.source_state,
        batch.finished,
        batch.live,
        rows.frames,
        rows.times,
        rows.offsets,
        rows.confidences,
        rows.boxes,
        rows.track_ids,
        rows.errors,
        rows.labels,
        FRAME_END,
        rows.maxima.labels,
        rows.maxima.blocks,
        rows.maxima.confidences,
    )
    return moved == 1


async def is_stored(connection: Connection, fence: Fence, batch: Batch) -> bool:
    """Whether a batch whose acknowledgement was lost is stored; False where it is still to be.

    Raises FencedError where the checkpoint is not this run's any more.
    """
    row = await connection.fetchrow(
        "SELECT next_frame, finished FROM checkpoints"
        " WHERE scenario_id = $1 AND attempt = $2 AND run_token = $3 AND NOT dropped",
        fence.scenario_id,
        fence.attempt,
        fence.run_token,
    )
    if row is None:
        raise FencedError
    if (row["next_frame"], row["finished"]) == (batch.end, batch.finished):
        return True
    if (row["next_frame"], row["finished"]) == (batch.start, False):
        return False
    raise FencedError


async def note_source_state(connection: Connection, fence: Fence, state: SourceState) -> None:
    """Show what became of the source, while this run holds the fence."""
    await connection.execute(
        "UPDATE checkpoints SET source_state = $4, updated_at = now()"
        " WHERE scenario_id = $1 AND attempt = $2 AND run_token = $3",
        fence.scenario_id,
        fence.attempt,
        fence.run_token,
        state,
    )


async def drop(connection: Connection, scenario_id: UUID) -> None:
    """Leave a tombstone that no claim passes. The rows are removed by `purge`."""
    await connection.execute(
        "INSERT INTO checkpoints (scenario_id, attempt, run_token, dropped)"
        " VALUES ($1, 1, gen_random_uuid(), true)"
        " ON CONFLICT (scenario_id) DO UPDATE SET dropped = true, updated_at = now()",
        scenario_id,
    )


async def next_to_purge(connection: Connection) -> UUID | None:
    """A deleted scenario whose rows are still there, locked until the transaction ends."""
    scenario_id: UUID | None = await connection.fetchval(
        "SELECT scenario_id FROM checkpoints WHERE dropped AND NOT purged LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    return scenario_id


async def purge(connection: Connection, scenario_id: UUID, limit: int) -> int:
    """Remove up to `limit` rows of a deleted scenario; the last call, which finds fewer, marks it purged.

    It begins where the last one ended: dead rows stay in the way of whoever comes from the first.
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
            RETURNING frame, labels
        ), forgotten AS (
            DELETE FROM label_blocks AS known USING (
                SELECT DISTINCT label, frame / $3 AS block
                  FROM removed, unnest(string_to_array(labels, E'\n') || ARRAY['']) AS label) AS gone
             WHERE known.scenario_id = $1 AND known.label = gone.label AND known.block = gone.block
        ), summed AS (
            SELECT count(*) AS rows, max(frame) + 1 AS purged_before FROM removed
        ), marked AS (
            UPDATE checkpoints
               SET purged_before = coalesce(summed.purged_before, checkpoints.purged_before),
                   purged = summed.rows < $2
              FROM summed WHERE scenario_id = $1
        )
        SELECT rows FROM summed
        """,
        scenario_id,
        limit,
        FRAMES_PER_BLOCK,
    )
    return removed


async def live_scenarios(connection: Connection) -> list[UUID]:
    """Those with a live source that were not deleted."""
    rows = await connection.fetch("SELECT scenario_id FROM checkpoints WHERE live AND NOT dropped")
    return [row["scenario_id"] for row in rows]


async def forget_block(connection: Connection, scenario_id: UUID, older_than: float) -> bool:
    """Remove the oldest block of a live source's predictions if all of it is more than `older_than` seconds
    old; False where it is not.

    The block that is written to is spared until nobody has claimed or written for as long: what a batch
    knows of its labels would be out of date.
    """
    found: int = await connection.fetchval(
        """
        WITH limits AS (
            SELECT extract(epoch FROM clock_timestamp())::double precision - $2 AS until
        ), due AS (
            SELECT oldest.block, newest.frame
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
               AND ((oldest.block + 1) * $3 <= c.next_frame OR c.updated_at < to_timestamp(limits.until))
               FOR UPDATE OF c SKIP LOCKED
        ), removed AS (
            DELETE FROM predictions AS p USING due
             WHERE p.scenario_id = $1 AND p.frame BETWEEN due.block * $3 AND due.frame
        ), forgotten AS (
            DELETE FROM label_blocks AS known USING due
             WHERE known.scenario_id = $1 AND known.block = due.block
        ), moved AS (
            UPDATE checkpoints SET purged_before = due.frame + 1 FROM due WHERE scenario_id = $1
        )
        SELECT count(*) FROM due
        """,
        scenario_id,
        older_than,
        FRAMES_PER_BLOCK,
    )
    return found == 1

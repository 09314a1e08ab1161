"""Settle events that are open although nobody goes on with their scenario."""

import structlog
from anyio import sleep

from ...postgres import TRANSIENT, Connection, Database
from ...predictions.checkpoint import Fence

log = structlog.get_logger(__name__)

ABANDONED = 600.0
"""Seconds without a sign of a run after which its open events are settled. Runs give one each minute."""

POLL = 300.0  # seconds


async def settle_abandoned(database: Database) -> None:
    """Until cancelled, settle the open events of runs that were killed and that nobody resumed.

    All runners do this. It does not matter which of them settles an event.
    """
    while True:
        try:
            async with database.connection() as connection:
                settled = await settle(connection, ABANDONED)
            if settled:
                log.info("settled open events of runs that are gone", events=settled)
        except TRANSIENT as error:
            log.warning("cannot settle open events yet", error=repr(error))
        await sleep(POLL)


async def settle(connection: Connection, seconds: float) -> int:
    """Settle the open events of scenarios without a sign of a run for `seconds`; return how many.

    Those of a recording are interrupted, and go on if it is resumed. Those of a live source have ended.
    """
    without_a_sign = "updated_at < clock_timestamp() - make_interval(secs => $1)"
    settled: int = await connection.fetchval(_SETTLE.format(of=without_a_sign, wait="SKIP LOCKED"), seconds)
    return settled


async def settle_run(connection: Connection, fence: Fence, *, has_failed: bool) -> int:
    """Settle the open events of a run that has the fence and ends; return how many.

    Those of a live source whose run `has_failed` stay open: a run that follows soon goes on with them.
    """
    of_run = "scenario_id = $1 AND attempt = $2 AND run_token = $3 AND NOT (live AND $4)"
    settled: int = await connection.fetchval(
        _SETTLE.format(of=of_run, wait=""), fence.scenario_id, fence.attempt, fence.run_token, has_failed
    )
    return settled


_SETTLE = """
    WITH abandoned AS (
        SELECT scenario_id, live, open_events, open_end_frames, open_end_times FROM checkpoints
         WHERE open_events <> '{{}}' AND NOT dropped AND {of}
           FOR NO KEY UPDATE {wait}
    ), settled AS (
        UPDATE events AS e
           SET state = CASE WHEN live THEN 'ended' ELSE 'interrupted' END,
               end_frame = open_end_frames[least(place, cardinality(open_end_frames))],
               end_time = open_end_times[least(place, cardinality(open_end_times))]
          FROM abandoned AS a, unnest(open_events) WITH ORDINALITY AS o (event_id, place)
         WHERE e.scenario_id = a.scenario_id AND e.event_id = o.event_id AND e.state = 'open'
        RETURNING 1
    ), forgotten AS (
        UPDATE checkpoints AS c
           SET open_events = '{{}}', open_end_frames = '{{}}', open_end_times = '{{}}',
               analysis_state = NULL, analysis_frame = next_frame
          FROM abandoned AS a WHERE c.scenario_id = a.scenario_id AND a.live
    )
    SELECT count(*) FROM settled
"""

"""Store what a run waits for, so that users are told, and that it still runs."""

import msgspec

from ...domain.reason import DetectorWait
from ...postgres import Connection
from ...predictions.checkpoint import Fence


async def note_detector_wait(
    connection: Connection, fence: Fence, wait: DetectorWait | None, waited: float
) -> None:
    """Store what the detector waits for, or None, if this run holds the fence. `waited` is in seconds."""
    await connection.execute(
        """
        UPDATE checkpoints
           SET detector_wait = $4::text::jsonb,
               detector_waits_since = CASE WHEN $4 IS NOT NULL
                                           THEN clock_timestamp() - make_interval(secs => $5) END,
               updated_at = now()
         WHERE scenario_id = $1 AND attempt = $2 AND run_token = $3
        """,
        fence.scenario_id,
        fence.attempt,
        fence.run_token,
        None if wait is None else msgspec.json.encode(wait).decode(),
        waited,
    )


async def note_alive(connection: Connection, fence: Fence) -> None:
    """Store that this run still has the scenario, if it holds the fence: its open events go on."""
    await connection.execute(
        "UPDATE checkpoints SET updated_at = now()"
        " WHERE scenario_id = $1 AND attempt = $2 AND run_token = $3",
        fence.scenario_id,
        fence.attempt,
        fence.run_token,
    )

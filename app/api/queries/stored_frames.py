"""One stored frame of a scenario, and what is needed to find its picture again."""

import math
from uuid import UUID

import msgspec
from msgspec import Struct

from ...domain.pins import Pins
from ...domain.prediction import FrameSize, Prediction
from ...domain.sampling import CandidateFrames
from ...postgres import Database
from ...predictions.codec import decode
from .predictions import MAX_FRAME

_pins = msgspec.json.Decoder(Pins)
_sizes = msgspec.json.Decoder(list[FrameSize])


class FoundFrame(Struct, frozen=True):
    """A stored frame, the ordinal and time of the one stored before it, and its scenario's checkpoint."""

    prediction: Prediction
    before: tuple[int, float] | None
    candidates: CandidateFrames
    pins: Pins | None
    is_live: bool


async def find_frame_before(
    predictions: Database, scenario_id: UUID, *, frame: int = MAX_FRAME, time: float | None = None
) -> FoundFrame | None:
    """Return the last stored frame up to `frame` and `time` (seconds); the first one if all are later.

    None if nothing is stored, or the scenario was deleted.
    """
    after = None if time is None else math.nextafter(time, math.inf)
    async with predictions.connection() as connection:
        row = await connection.fetchrow(_FRAME, scenario_id, frame, after)
    if row is None:
        return None
    before = None if row["before_frame"] is None else (row["before_frame"], row["before_time"])
    return FoundFrame(
        decode(row, sizes=_sizes.decode(row["sizes"])),
        before,
        row["eligible"] or "all",
        None if row["pins"] is None else _pins.decode(row["pins"]),
        row["live"],
    )


async def find_pins(predictions: Database, scenario_id: UUID) -> Pins | None:
    """Return what a scenario's results depend on; None if nothing is stored, or it was deleted."""
    sql = "SELECT pins FROM checkpoints WHERE scenario_id = $1 AND NOT dropped"
    async with predictions.connection() as connection:
        text = await connection.fetchval(sql, scenario_id)
    return None if text is None else _pins.decode(text)


async def find_frame_after(predictions: Database, scenario_id: UUID, frame: int) -> int | None:
    """Return the next stored frame after `frame`, if there is one."""
    sql = "SELECT frame FROM predictions WHERE scenario_id = $1 AND frame > $2 ORDER BY frame LIMIT 1"
    async with predictions.connection() as connection:
        following: int | None = await connection.fetchval(sql, scenario_id, frame)
    return following


_FRAME = """
    WITH wanted AS (
        SELECT least($2, coalesce(first_frame_at($1, $3) - 1, $2)) AS frame
    ), found AS (
        (SELECT * FROM predictions
          WHERE scenario_id = $1 AND frame <= (SELECT frame FROM wanted) ORDER BY frame DESC LIMIT 1)
        UNION ALL
        (SELECT * FROM predictions WHERE scenario_id = $1 ORDER BY frame LIMIT 1)
        LIMIT 1
    )
    SELECT found.*, b.frame AS before_frame, b.time AS before_time, c.eligible, c.pins, c.sizes, c.live
      FROM checkpoints AS c
     CROSS JOIN found
      LEFT JOIN LATERAL (
           SELECT frame, time FROM predictions
            WHERE scenario_id = $1 AND frame < found.frame ORDER BY frame DESC LIMIT 1) AS b ON true
     WHERE c.scenario_id = $1 AND NOT c.dropped
"""

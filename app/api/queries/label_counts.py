"""How often each label was found in a scenario's video, and in how many objects."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from ...postgres import Database
from ...predictions.timeline import BUCKETS_PER_PART
from .event_counts import EVENTS_OF_SORTS


class LabelCount(Struct, frozen=True):
    """What was found of one label in all of a video."""

    label: str
    objects: Annotated[int | None, Meta(description="objects that were followed; null if none were")]
    frames: Annotated[int, Meta(description="frames with a detection")]
    detections: int


async def count_labels(predictions: Database, scenario_id: UUID) -> list[LabelCount]:
    """Return the labels of what is stored now, the one with most detections first."""
    async with predictions.connection() as connection:
        rows = await connection.fetch(_COUNTS, scenario_id, BUCKETS_PER_PART)
    return [LabelCount(*row) for row in rows]


# If old frames of a live source were removed, the oldest sum may have more than is left, but its buckets not.
_COUNTS = f"""
WITH ends AS (
    SELECT coalesce((min(bucket) + $2 - 1) / $2, 0) AS first,
           (SELECT coalesce(max(part) + 1, 0) FROM timeline_sums
             WHERE scenario_id = $1 AND label = '') AS stop
      FROM timeline_buckets WHERE scenario_id = $1 AND label = ''
)
SELECT label, o.objects, f.frames, f.detections
  FROM (SELECT label, sum(frames)::bigint AS frames, sum(detections)::bigint AS detections
          FROM (SELECT label, frames, detections FROM timeline_sums
                 WHERE scenario_id = $1 AND part >= (SELECT first FROM ends)
                 UNION ALL
                SELECT label, frames, detections FROM timeline_buckets
                 WHERE scenario_id = $1 AND bucket < (SELECT $2 * least(first, stop) FROM ends)
                 UNION ALL
                SELECT label, frames, detections FROM timeline_buckets
                 WHERE scenario_id = $1 AND bucket >= (SELECT $2 * stop FROM ends)) AS counts
         WHERE label <> '' GROUP BY label) AS f
  LEFT JOIN (SELECT label, sum(events)::bigint AS objects
               FROM ({EVENTS_OF_SORTS}) AS s WHERE kind = 'object' GROUP BY label HAVING sum(events) > 0) AS o
       USING (label)
 ORDER BY detections DESC, label
"""  # noqa: S608 - of the code's own constants

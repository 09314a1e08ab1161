"""How often each label was found in a scenario's video, and in how many objects."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from ...postgres import Database


class LabelCount(Struct, frozen=True):
    """What was found of one label in all of a video."""

    label: str
    objects: Annotated[int | None, Meta(description="objects that were followed; null if none were")]
    frames: Annotated[int, Meta(description="frames with a detection")]
    detections: int


async def count_labels(predictions: Database, scenario_id: UUID) -> list[LabelCount]:
    """Return the labels of what is stored now, the one with most detections first."""
    async with predictions.connection() as connection:
        rows = await connection.fetch(_COUNTS, scenario_id)
    return [LabelCount(*row) for row in rows]


_COUNTS = """
SELECT label, o.objects, f.frames, f.detections
  FROM (SELECT label, sum(frames)::bigint AS frames, sum(detections)::bigint AS detections
          FROM timeline_buckets WHERE scenario_id = $1 AND label <> '' GROUP BY label) AS f
  LEFT JOIN (SELECT label, count(*) AS objects
               FROM events WHERE scenario_id = $1 AND kind = 'object' GROUP BY label) AS o USING (label)
 ORDER BY detections DESC, label
"""

"""How many events of each sort a scenario has."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from ...domain.event import EventKind
from ...postgres import Database

MAX_SORTS = 10_000
"""Sorts in one answer: about 1 MB of JSON."""


class EventCount(Struct, frozen=True):
    """How many events have this kind, name and label."""

    kind: EventKind
    name: Annotated[str | None, Meta(description="of the zone, line or alert rule")]
    label: str
    events: Annotated[int, Meta(description="of kind `object`: objects that were followed")]


class EventCounts(Struct, frozen=True):
    """Counts by kind, name and label: the first 10,000."""

    items: list[EventCount]


async def count_events(predictions: Database, scenario_id: UUID) -> EventCounts:
    """Count the events of a scenario, without those of scenarios that it replaced."""
    async with predictions.connection() as connection:
        rows = await connection.fetch(_COUNTS, scenario_id, MAX_SORTS)
    return EventCounts([EventCount(*row) for row in rows])


EVENTS_OF_SORTS = f"""
    SELECT kind, name, label, events FROM event_counts WHERE scenario_id = $1
     UNION ALL
    SELECT kind, name, label, 1 FROM events
     WHERE scenario_id = $1
       AND event_id BETWEEN coalesce(
               (SELECT events_counted_before FROM checkpoints WHERE scenario_id = $1), 1) AND {2**63 - 1}
"""  # noqa: S608 - of the code's own constants
"""Numbers of events of a scenario, to be added up by kind, name and label.

Ids have an upper bound because the planner expects a third of all events without one, and reads the table.
"""

_COUNTS = f"""
    SELECT kind, nullif(s.name, ''), label, sum(events)::bigint FROM ({EVENTS_OF_SORTS}) AS s
     GROUP BY kind, s.name, label HAVING sum(events) > 0 ORDER BY kind, s.name, label LIMIT $2
"""  # noqa: S608 - of the code's own constants

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
        rows = await connection.fetch(
            "SELECT kind, nullif(events.name, ''), label, count(*) FROM events WHERE scenario_id = $1"
            " GROUP BY kind, events.name, label ORDER BY kind, events.name, label LIMIT $2",
            scenario_id,
            MAX_SORTS,
        )
    return EventCounts([EventCount(*row) for row in rows])

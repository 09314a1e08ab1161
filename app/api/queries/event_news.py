"""Events that are new, or have ended, since they were read last."""

from collections.abc import Collection, Sequence
from uuid import UUID

from ...postgres import Database
from .events import StoredEvent, to_stored_event

EventKey = tuple[UUID, int]
"""Scenario and number of an event."""


async def read_last_order(predictions: Database) -> int:
    """Return the highest number in the order of storing, 0 if there are no events."""
    async with predictions.connection() as connection:
        return await connection.fetchval("SELECT max(storage_order) FROM events") or 0


async def list_open(predictions: Database) -> set[EventKey]:
    """Return the events that go on."""
    sql = """
        SELECT e.scenario_id, e.event_id
          FROM (SELECT scenario_id, unnest(open_events) AS event_id FROM checkpoints
                 WHERE open_events <> '{}') AS unended
          JOIN events e USING (scenario_id, event_id) WHERE e.state = 'open'
    """
    async with predictions.connection() as connection:
        return {(row["scenario_id"], row["event_id"]) for row in await connection.fetch(sql)}


async def list_later(
    predictions: Database, after: int, without: Sequence[int], limit: int
) -> list[tuple[int, StoredEvent]]:
    """Return up to `limit` events after a number in the order of storing, each with its own, without some."""
    sql = """
        SELECT * FROM events WHERE storage_order > $1 AND storage_order <> ALL($2::bigint[])
         ORDER BY storage_order LIMIT $3
    """
    async with predictions.connection() as connection:
        rows = await connection.fetch(sql, after, without, limit)
    return [(row["storage_order"], to_stored_event(row)) for row in rows]


async def list_ended(
    predictions: Database, events: Collection[EventKey]
) -> dict[EventKey, StoredEvent | None]:
    """Return those of the events that have ended or were interrupted; None for those that were removed."""
    if not events:
        return {}
    sql = """
        SELECT e.*, known.scenario_id AS known_scenario, known.event_id AS known_event
          FROM unnest($1::uuid[], $2::bigint[]) AS known (scenario_id, event_id)
          LEFT JOIN events e ON e.scenario_id = known.scenario_id AND e.event_id = known.event_id
         WHERE e.state IS DISTINCT FROM 'open' ORDER BY known.scenario_id, known.event_id
    """
    async with predictions.connection() as connection:
        rows = await connection.fetch(sql, *map(list, zip(*events, strict=True)))
    return {
        (row["known_scenario"], row["known_event"]): None if row["event_id"] is None else to_stored_event(row)
        for row in rows
    }

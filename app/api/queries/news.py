"""What event streams tell of live sources and of events in the videos."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from ...postgres import Connection, Database
from .events import StoredEvent, to_stored_event
from .evidence import with_pictures
from .history import SourceChange, to_source_change
from .stream_order import StreamPosition, position_of

_Key = tuple[UUID, int]  # scenario, and number of the event or change


class NewsItem(Struct, frozen=True):
    """A change of a source, or an event that is new or whose state has changed, at its position."""

    position: StreamPosition
    content: SourceChange | StoredEvent


async def read_news(
    predictions: Database, after: StreamPosition, limit: int, path_prefix: str = ""
) -> tuple[list[NewsItem], StreamPosition, bool]:
    """Return what is told of up to `limit` entries after a position, the last one's, and whether it is full.

    An entry is left out if a later one tells a newer state of its event, or if what it tells of was removed.
    `path_prefix`: what the paths of pictures begin with.
    """
    sql = """
        SELECT xid::text::numeric AS xid, id, scenario_id, event_id, state, source_change
          FROM stream_entries AS e
         WHERE (e.xid, id) > ($1::text::xid8, $2) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY e.xid, id LIMIT $3
    """
    async with predictions.connection() as connection:
        entries = await connection.fetch(sql, str(after.xid), after.id, limit)
        events = await _find(connection, "current_events", "event_id", entries)
        changes = await _find(connection, "source_changes", "number", entries)
    items = []
    for entry in entries:
        event = events.get((entry["scenario_id"], entry["event_id"]))
        change = changes.get((entry["scenario_id"], entry["source_change"]))
        if event is not None and event["state"] == entry["state"]:
            items.append(NewsItem(position_of(entry), to_stored_event(event)))
        elif change is not None:
            items.append(NewsItem(position_of(entry), to_source_change(change)))
    told = [item.content for item in items if isinstance(item.content, StoredEvent)]
    pictured = iter(await with_pictures(predictions, told, path_prefix))
    items = [
        NewsItem(item.position, next(pictured)) if isinstance(item.content, StoredEvent) else item
        for item in items
    ]
    return items, position_of(entries[-1]) if entries else after, len(entries) == limit


async def _find(
    connection: Connection, table: str, number: str, entries: Sequence[Record]
) -> dict[_Key, Record]:
    column = "source_change" if table == "source_changes" else number
    wanted = {(entry["scenario_id"], entry[column]) for entry in entries if entry[column] is not None}
    if not wanted:
        return {}
    sql = f"""
        SELECT {table}.* FROM unnest($1::uuid[], $2::bigint[]) AS wanted (scenario_id, {number})
          JOIN {table} USING (scenario_id, {number})
    """  # noqa: S608 - of two names each
    rows = await connection.fetch(sql, *map(list, zip(*wanted, strict=True)))
    return {(row["scenario_id"], row[number]): row for row in rows}

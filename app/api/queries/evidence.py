"""The pictures that live sources keep of their events."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from ...domain.event import EventKind, EventState
from ...postgres import Database
from ...predictions.evidence import KINDS
from .events import EventPicture, StoredEvent


class PicturedEvent(Struct, frozen=True):
    """What decides whether an event has a picture. `frame`: that of its stored one; None: there is none."""

    kind: EventKind
    state: EventState
    is_live: bool
    frame: int | None


async def with_pictures(
    predictions: Database, events: Sequence[StoredEvent], path_prefix: str
) -> list[StoredEvent]:
    """Return the events, each with its picture if one is stored. `path_prefix`: of the address of each."""
    wanted = [event for event in events if event.kind in KINDS and event.at is not None]
    if not wanted:
        return list(events)
    async with predictions.connection() as connection:
        rows = await connection.fetch(
            "SELECT scenario_id, event_id, frame, time, box, width, height"
            "  FROM unnest($1::uuid[], $2::bigint[]) AS e (scenario_id, event_id)"
            "  JOIN evidence USING (scenario_id, event_id)",
            [event.scenario_id for event in wanted],
            [event.event_id for event in wanted],
        )
    found = {
        (row["scenario_id"], row["event_id"]): EventPicture(
            f"{path_prefix}/scenarios/{row['scenario_id']}/events/{row['event_id']}/picture.jpg",
            row["frame"],
            row["time"],
            tuple(row["box"]),
            row["width"],
            row["height"],
        )
        for row in rows
    }
    return [replace(event, picture=found.get((event.scenario_id, event.event_id))) for event in events]


async def find_pictured_event(
    predictions: Database, scenario_id: UUID, event_id: int
) -> PicturedEvent | None:
    """Return an event of a scenario; None if it has no such event, or it was removed."""
    async with predictions.connection() as connection:
        row = await connection.fetchrow(
            "SELECT e.kind, e.state, coalesce(c.live, false) AS live, p.frame FROM events AS e"
            "  LEFT JOIN checkpoints AS c USING (scenario_id)"
            "  LEFT JOIN evidence AS p USING (scenario_id, event_id)"
            " WHERE e.scenario_id = $1 AND e.event_id = $2",
            scenario_id,
            event_id,
        )
    return None if row is None else PicturedEvent(row["kind"], row["state"], row["live"], row["frame"])


async def read_picture(predictions: Database, scenario_id: UUID, event_id: int) -> tuple[int, bytes] | None:
    """Return the frame of an event's stored picture, and the JPEG; None if there is none any more."""
    async with predictions.connection() as connection:
        row = await connection.fetchrow(
            "SELECT frame, picture FROM evidence WHERE scenario_id = $1 AND event_id = $2",
            scenario_id,
            event_id,
        )
    return None if row is None else (row["frame"], row["picture"])

"""Where the pictures of events are: stored, for live sources, and in recordings."""

from bisect import bisect_right
from collections.abc import Sequence
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ...domain.event import EventKind, EventState
from ...domain.prediction import Box, FrameSize
from ...postgres import Database
from ...predictions.evidence import KINDS
from .events import EventPicture, StoredEvent

_sizes = msgspec.json.Decoder(tuple[FrameSize, ...])


class PicturedEvent(Struct, frozen=True):
    """What decides whether an event has a picture, and what is drawn on it.

    `frame`: that of its stored picture; None: there is none.
    """

    kind: EventKind
    state: EventState
    name: str
    label: str
    track_id: int | None
    best_frame: int
    best_box: Box
    best_confidence: float
    is_live: bool
    frame: int | None


class StoredPicture(Struct, frozen=True):
    """A picture that a live source keeps of an event: a JPEG of a frame that is `width` pixels wide.

    `box` is in pixels of the frame, `confidence` of what it shows.
    """

    frame: int
    jpeg: bytes
    width: int
    box: Box
    confidence: float


async def with_pictures(
    predictions: Database, events: Sequence[StoredEvent], path_prefix: str
) -> list[StoredEvent]:
    """Return the events, each with where its picture is if it has one. `path_prefix`: of all paths.

    That of a live source must be stored. That of a recording is its best frame, whose size is looked up.
    """
    if not events:
        return []
    async with predictions.connection() as connection:
        checkpoints = await connection.fetch(
            "SELECT scenario_id, live OR coalesce((footage->>'is_live')::boolean, false) AS live,"
            "       CASE WHEN live THEN '[]' ELSE sizes END AS sizes"
            "  FROM checkpoints WHERE scenario_id = ANY ($1::uuid[])",
            list({event.scenario_id for event in events}),
        )
        stored = await connection.fetch(
            "SELECT scenario_id, event_id, frame, time, box, width, height"
            "  FROM unnest($1::uuid[], $2::bigint[]) AS e (scenario_id, event_id)"
            "  JOIN event_pictures USING (scenario_id, event_id) JOIN evidence USING (scenario_id, frame)",
            [event.scenario_id for event in events if event.kind in KINDS],
            [event.event_id for event in events if event.kind in KINDS],
        )
    recordings = {row["scenario_id"]: _sizes.decode(row["sizes"]) for row in checkpoints if not row["live"]}
    pictures = {(row["scenario_id"], row["event_id"]): row for row in stored}
    found: list[StoredEvent] = []
    for event in events:
        path = f"{path_prefix}/scenarios/{event.scenario_id}/events/{event.event_id}/picture.jpg"
        picture = None
        if event.scenario_id in recordings:
            size = _size_of(event.best_frame, recordings[event.scenario_id])
            picture = EventPicture(path, event.best_frame, event.best_time, event.best_box, *size)
        elif row := pictures.get((event.scenario_id, event.event_id)):
            size = row["width"], row["height"]
            picture = EventPicture(path, row["frame"], row["time"], tuple(row["box"]), *size)
        found.append(replace(event, picture=picture))
    return found


def _size_of(frame: int, sizes: Sequence[FrameSize]) -> tuple[int | None, int | None]:
    number = bisect_right(sizes, frame, key=lambda size: size.frame)
    if not number or not sizes[number - 1].width:
        return None, None
    return sizes[number - 1].width, sizes[number - 1].height


async def find_pictured_event(
    predictions: Database, scenario_id: UUID, event_id: int
) -> PicturedEvent | None:
    """Return an event of a scenario; None if it has no such event, or it was removed."""
    async with predictions.connection() as connection:
        row = await connection.fetchrow(
            "SELECT e.kind, e.state, e.name, e.label, e.track_id, e.best_frame, e.best_box,"
            "       e.best_confidence, coalesce(c.live, false) AS live, p.frame FROM events AS e"
            "  LEFT JOIN checkpoints AS c USING (scenario_id)"
            "  LEFT JOIN event_pictures AS p USING (scenario_id, event_id)"
            " WHERE e.scenario_id = $1 AND e.event_id = $2",
            scenario_id,
            event_id,
        )
    return None if row is None else PicturedEvent(*row)


async def read_picture(predictions: Database, scenario_id: UUID, event_id: int) -> StoredPicture | None:
    """Return the stored picture of an event; None if there is none any more."""
    async with predictions.connection() as connection:
        row = await connection.fetchrow(
            "SELECT frame, picture, width, box, score"
            "  FROM event_pictures JOIN evidence USING (scenario_id, frame)"
            " WHERE scenario_id = $1 AND event_id = $2",
            scenario_id,
            event_id,
        )
    if row is None:
        return None
    x1, y1, x2, y2 = row["box"]
    area = (x2 - x1) * (y2 - y1)
    confidence = row["score"] / area if area > 0 else 0.0
    return StoredPicture(row["frame"], row["picture"], row["width"], (x1, y1, x2, y2), confidence)

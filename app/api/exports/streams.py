"""Read what is exported a page at a time, so that an export of any length takes the memory of one page."""

from collections.abc import AsyncIterator, Callable
from functools import partial

import msgspec
from anyio import CapacityLimiter, to_thread
from msgspec import structs

from ...domain.event import Event
from ...postgres import Database
from ..queries.events import EventFilter, StoredEvent, VideoPosition, list_events
from ..queries.predictions import PredictionFilter, StoredRows, read_rows
from .exported import ExportedVideo
from .writers import BOM, CsvTable, PredictionWriter

PAGE = 1000
"""Frames, or events, that are read at once; frames with many detections are fewer."""

Videos = Callable[[], AsyncIterator[ExportedVideo]]


async def export_predictions(
    predictions: Database,
    videos: Videos,
    wanted: PredictionFilter,
    writer: PredictionWriter,
    limiter: CapacityLimiter,
) -> AsyncIterator[bytes]:
    """Yield the parts of a file. `videos` is called for each pass, and must give the same ones each time."""
    for number in range(1, writer.passes + 1):
        yield writer.begin(number)
        async for video in videos():
            part = structs.replace(
                wanted,
                from_frame=max(wanted.from_frame, video.frames.first),
                to_frame=min(wanted.to_frame, video.frames.end),
            )
            while part.from_frame < part.to_frame:
                rows = await read_rows(predictions, video.frames.scenario_id, part, PAGE)
                # In a thread: a page has up to 50,000 detections, which take near a second to write.
                written = await to_thread.run_sync(
                    partial(_write, writer, video, rows, part), limiter=limiter
                )
                if written:
                    yield written
                if rows.next_frame is None:
                    break
                part = structs.replace(part, from_frame=rows.next_frame)
    yield writer.end()


def _write(
    writer: PredictionWriter, video: ExportedVideo, rows: StoredRows, wanted: PredictionFilter
) -> bytes:
    return writer.frames(video, rows.decode(wanted))


EVENT_COLUMNS = (
    "scenario_id", "scenario", "event_id", "kind", "state", "label", "name", "direction", "track_id", "at",
    "start_time", "end_time", "start_frame", "end_frame", "best_frame", "best_time", "best_confidence",
    "x1", "y1", "x2", "y2",
)  # fmt: skip


async def export_events(
    predictions: Database,
    videos: Videos,
    wanted: EventFilter,
    between: tuple[float | None, float | None],
    *,
    as_csv: bool,
    has_bom: bool,
) -> AsyncIterator[bytes]:
    """Yield the parts of a file of events, in the order in which they began in each video.

    A line of JSON Lines is an event as in GET /scenarios/{id}/events, without its picture.
    """
    table = CsvTable()
    if as_csv:
        yield (BOM if has_bom else b"") + table.rows([EVENT_COLUMNS])
    async for video in videos():
        after: VideoPosition | None = None
        while True:
            events, after = await list_events(
                predictions, [video.scenario_id], wanted, between, "asc", after, PAGE
            )
            if events:
                yield table.rows([_row(video, event) for event in events]) if as_csv else _lines(events)
            if after is None:
                break


def _row(video: ExportedVideo, event: StoredEvent) -> tuple[object, ...]:
    at = None if event.at is None else event.at.isoformat(timespec="milliseconds")
    return (
        event.scenario_id, video.name, event.event_id, event.kind, event.state, event.label, event.name,
        event.direction, event.track_id, at, event.start_time, event.end_time, event.start_frame,
        event.end_frame, event.best_frame, event.best_time, event.best_confidence, *event.best_box,
    )  # fmt: skip


_FIELDS = [*Event.__struct_fields__, "scenario_id", "at"]


def _lines(events: list[StoredEvent]) -> bytes:
    return b"".join(
        [msgspec.json.encode({name: getattr(event, name) for name in _FIELDS}) + b"\n" for event in events]
    )

"""Read what is exported a page at a time, so that an export of any length takes the memory of one page."""

from collections.abc import AsyncIterator, Callable
from functools import partial

from anyio import CapacityLimiter, to_thread
from msgspec import structs

from ...postgres import Database
from ..queries.events import EventFilter, VideoPosition, list_events
from ..queries.predictions import PredictionFilter, StoredRows, read_rows
from .exported import ExportedVideo
from .writers import EventWriter, PredictionWriter

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
    yield await to_thread.run_sync(writer.end, limiter=limiter)


def _write(
    writer: PredictionWriter, video: ExportedVideo, rows: StoredRows, wanted: PredictionFilter
) -> bytes:
    return writer.frames(video, rows.columns(wanted))


async def export_events(
    predictions: Database,
    videos: Videos,
    wanted: EventFilter,
    between: tuple[float | None, float | None],
    writer: EventWriter,
    limiter: CapacityLimiter,
) -> AsyncIterator[bytes]:
    """Yield the parts of a file, with events in the order in which they began in each video."""
    yield writer.begin()
    async for video in videos():
        after: VideoPosition | None = None
        while True:
            events, after = await list_events(
                predictions, [video.scenario_id], wanted, between, "asc", after, PAGE
            )
            if events:
                written = await to_thread.run_sync(writer.events, video, events, limiter=limiter)
                if written:
                    yield written
            if after is None:
                break
    yield await to_thread.run_sync(writer.end, limiter=limiter)

"""The videos of an export: one scenario, or all of a batch."""

from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

from asyncpg import Record
from msgspec import structs

from ...domain.source import SourceError, parse_source
from ..frame_range import FrameRange, locate_frames
from ..options import ApiDeps
from ..queries.predictions import PredictionFilter, find_end, find_ends, find_ends_with_events
from ..queries.scenarios import list_of_batch
from ..recorded_pictures import spec_of
from .exported import ExportedVideo, describe_video

_AT_ONCE = 500  # scenarios of a batch that are read at once


class KnownVideos:
    """The videos of an export that is of one scenario."""

    def __init__(self, videos: list[ExportedVideo]) -> None:
        self._videos = videos

    async def read(self) -> AsyncIterator[ExportedVideo]:
        """Yield them."""
        for video in self._videos:
            yield video


class BatchVideos:
    """The videos of a batch of which something is told, the oldest first. Each pass reads the same frames.

    `wanted`: which predictions; None if events are exported.
    """

    def __init__(self, deps: ApiDeps, batch_id: UUID, wanted: PredictionFilter | None) -> None:
        self._deps = deps
        self._batch_id = batch_id
        self._wanted = wanted
        self._found: list[ExportedVideo] = []
        self._read = 0  # scenarios, with those of which nothing is told
        self._last: UUID | None = None
        self._is_complete = False
        self._names: Counter[str] = Counter()

    async def read(self) -> AsyncIterator[ExportedVideo]:
        """Yield them, and remember them for the next pass."""
        for video in self._found:
            yield video
        while not self._is_complete:
            rows = await list_of_batch(self._deps.scenarios, self._batch_id, self._last, _AT_ONCE)
            # Of all at once: one query for each would send nothing for a minute if thousands have nothing.
            ends = await self._find_ends([row["id"] for row in rows])
            for row in rows:
                # The others have numbers and names, too, so that those of a video are always the same.
                self._read += 1
                source = _unique(_source_name(row), self._names)
                if row["id"] in ends:
                    frames = FrameRange(row["id"], end=ends[row["id"]])
                    video = describe_video(row, frames, source, self._read)
                    self._found.append(video)
                    yield video
            self._is_complete = len(rows) < _AT_ONCE
            self._last = rows[-1]["id"] if rows else None

    async def _find_ends(self, scenario_ids: list[UUID]) -> dict[UUID, int]:
        if self._wanted is None:
            return await find_ends_with_events(self._deps.predictions, scenario_ids)
        return await find_ends(self._deps.predictions, scenario_ids, self._wanted)


async def read_video(deps: ApiDeps, row: Record) -> ExportedVideo:
    """Return the video of a row of scenarios."""
    frames = await locate_frames(deps, row)
    end = min(frames.end, await find_end(deps.predictions, frames.scenario_id))
    return describe_video(row, structs.replace(frames, end=end), _source_name(row))


def _unique(source: str, names: Counter[str]) -> str:
    """Return the name of a source, with a number if there is one of the same name before it."""
    names[source] += 1
    return source if names[source] == 1 else f"{source} ({names[source]})"


def _source_name(row: Record) -> str:
    """Return the path of a recording; the id of what has none."""
    try:
        source = parse_source(spec_of(row).source)
    except SourceError:
        return str(row["id"])
    return source.address if source.kind == "file" else str(row["id"])

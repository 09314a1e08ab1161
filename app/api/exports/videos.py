"""The videos of an export: one scenario, or all of a batch."""

from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

from asyncpg import Record
from msgspec import structs

from ...domain.source import SourceError, parse_source
from ..frame_range import locate_frames
from ..options import ApiDeps
from ..queries.predictions import find_end
from ..queries.scenarios import list_of_batch
from ..recorded_pictures import spec_of
from .exported import ExportedVideo, describe_video

_AT_ONCE = 100  # scenarios of a batch that are read at once


class KnownVideos:
    """The videos of an export that is of one scenario."""

    def __init__(self, videos: list[ExportedVideo]) -> None:
        self._videos = videos

    async def read(self) -> AsyncIterator[ExportedVideo]:
        """Yield them."""
        for video in self._videos:
            yield video


class BatchVideos:
    """The videos of a batch, the oldest first. Each pass reads the same frames of the same ones."""

    def __init__(self, deps: ApiDeps, batch_id: UUID) -> None:
        self._deps = deps
        self._batch_id = batch_id
        self._found: list[ExportedVideo] = []
        self._is_complete = False
        self._names: Counter[str] = Counter()

    async def read(self) -> AsyncIterator[ExportedVideo]:
        """Yield them, and remember them for the next pass."""
        for video in self._found:
            yield video
        after: UUID | None = self._found[-1].scenario_id if self._found else None
        while not self._is_complete:
            rows = await list_of_batch(self._deps.scenarios, self._batch_id, after, _AT_ONCE)
            for row in rows:
                video = await read_video(self._deps, row, len(self._found) + 1, self._names)
                self._found.append(video)
                yield video
            self._is_complete = len(rows) < _AT_ONCE
            after = rows[-1]["id"] if rows else None


async def read_video(
    deps: ApiDeps, row: Record, number: int = 1, names: Counter[str] | None = None
) -> ExportedVideo:
    """Return the video of a row. `names` counts the sources so far, so that pictures have different names."""
    frames = await locate_frames(deps, row)
    end = min(frames.end, await find_end(deps.predictions, frames.scenario_id))
    source = _source_name(row)
    if names is not None:
        names[source] += 1
        if names[source] > 1:
            source = f"{source} ({names[source]})"
    return describe_video(row, structs.replace(frames, end=end), source, number)


def _source_name(row: Record) -> str:
    """Return the path of a recording; the id of what has none."""
    try:
        source = parse_source(spec_of(row).source)
    except SourceError:
        return str(row["id"])
    return source.address if source.kind == "file" else str(row["id"])

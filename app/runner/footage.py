"""Ask stored footage again: analysis alone, over the frames that another scenario has stored."""

from collections.abc import Callable, Sequence
from typing import Literal
from uuid import UUID

import structlog
from anyio import sleep, to_thread
from asyncpg import Record
from msgspec import Struct

from ..analysis.analysis import Analysis
from ..domain.detector_config import Stored
from ..domain.event import Event
from ..domain.media import Media
from ..domain.prediction import FrameSize
from ..domain.reason import ScenarioWarning
from ..domain.spec import ScenarioSpec
from ..postgres import TRANSIENT, Database
from ..predictions.checkpoint import Checkpoint, Counters, Fence, Footage, SavedAnalysis
from ..predictions.columns import decode_frames
from ..video.reading import Watermark
from .analysing.step import end_of_events
from .storing.batches import BatchBuilder
from .storing.fenced_store import FencedStore, backoffs
from .storing.replay import Replay
from .storing.stored_frames import PAGE, FootageError, pin_footage

log = structlog.get_logger(__name__)


class FootageRun:
    """One attempt to analyse what another scenario has stored. Each page of frames is one batch.

    A batch has the state after it, so the next attempt goes on there. `asked` tells how the attempt must
    end, if it must. `tell` is given what the footage is, and whether the attempt is over; `on_stored` the
    frame up to which the footage is analysed.
    """

    def __init__(
        self,
        fence: Fence,
        store: FencedStore,
        database: Database,
        asked: Callable[[], Literal["stop", "release"] | None],
        tell: Callable[[Media, bool], None],
        on_stored: Callable[[int], None],
    ) -> None:
        self._fence = fence
        self._store = store
        self._database = database
        self._asked = asked
        self._tell = tell
        self._on_stored = on_stored

    async def execute(self, spec: ScenarioSpec, source_id: UUID, claimed: Checkpoint) -> bool:
        """Return whether all of the footage is analysed; if not, the attempt was asked to end.

        Raises:
            FencedError: another run has the fence
            FootageError: the footage is not there
        """
        pinned = await self._pin(source_id, claimed) if claimed.footage is None else claimed
        if pinned is None or pinned.footage is None:
            return False
        has_new_tracks = isinstance(spec.detector, Stored) and spec.detector.track_ids == "new"
        replay = Replay(
            spec.rules,
            self._fence.scenario_id,
            pinned,
            self._database,
            lambda: self._asked() is not None,
            has_stored_tracks=pinned.footage.has_tracks and not has_new_tracks,
        )
        resumed = await replay.resume()
        if resumed is None:
            return False
        builder = BatchBuilder(pinned, None)
        builder.saved_analysis = resumed.saved
        if resumed.events:
            builder.change_analysis(resumed.events, resumed.analysis.carried, None)
        try:
            is_finished = await self._analyse(replay, resumed.analysis, builder, pinned.footage, pinned.sizes)
        except FootageError:
            await self._end(resumed.analysis, builder, is_failed=True)
            raise
        if not is_finished:
            await self._end(resumed.analysis, builder)
        return is_finished

    async def _pin(self, source_id: UUID, claimed: Checkpoint) -> Checkpoint | None:
        """Pin the footage, trying again while the database is away. Returns None if asked to end."""
        for backoff in backoffs():
            if self._asked() is not None:
                break
            try:
                async with self._database.connection() as connection:
                    return await pin_footage(connection, self._fence, source_id, claimed)
            except TRANSIENT as error:
                log.warning("cannot pin the footage yet", error=repr(error))
                await sleep(backoff)
        return None

    async def _analyse(
        self,
        replay: Replay,
        analysis: Analysis,
        builder: BatchBuilder,
        footage: Footage,
        sizes: tuple[FrameSize, ...],
    ) -> bool:
        """Analyse page after page. Returns whether the last one is stored."""
        media = _media(footage, sizes)
        while builder.next_frame < footage.end:
            rows = await replay.read(builder.next_frame, footage.end)
            if rows is None:
                return False
            page = await to_thread.run_sync(_analyse_page, analysis, rows, sizes)
            end = rows[-1]["frame"] + 1 if len(rows) == PAGE else footage.end
            is_last = end == footage.end
            saved = b"" if is_last else analysis.save()
            builder.change_analysis(page.events, analysis.carried, SavedAnalysis(end, saved))
            if is_last:
                builder.change_analysis(analysis.end("ended"), analysis.carried, None)
            builder.warn([ScenarioWarning("analysis_limited", text) for text in analysis.warnings])
            before = builder.counters
            builder.counters = Counters(
                sampled=before.sampled + len(rows), detections=before.detections + page.detections
            )
            self._tell(media, is_last)
            position = footage.until if is_last else rows[-1]["time"]
            batch = builder.build(
                [Watermark(end, position)],
                source_state="closed" if is_last else "open",
                is_finished=is_last,
            )
            if batch is not None:
                await self._store.store(batch)
                self._on_stored(batch.end)
        return True

    async def _end(self, analysis: Analysis, builder: BatchBuilder, *, is_failed: bool = False) -> None:
        """Store what becomes of open events if the footage is not analysed to its end."""
        asked = None if is_failed else self._asked()
        state = end_of_events(asked, is_finished=False, is_live=False)
        if state is not None and (events := analysis.end(state)):
            builder.change_analysis(events, analysis.carried, None)
            batch = builder.build([], source_state="closed")
            if batch is not None:
                await self._store.store(batch)


class _Page(Struct, frozen=True):
    events: tuple[Event, ...]
    detections: int


def _analyse_page(analysis: Analysis, rows: Sequence[Record], sizes: tuple[FrameSize, ...]) -> _Page:
    """Return the events that are new or changed after these frames, each as it is then."""
    detections = 0
    for frame in decode_frames(rows, sizes):
        detections += len(frame.detections)
        size = frame.width or 0, frame.height or 0
        analysis.see(frame.frame, frame.time, size, frame.detections)
    return _Page(analysis.take_events(), detections)


def _media(footage: Footage, sizes: tuple[FrameSize, ...]) -> Media:
    """Return the properties of footage as if it was a recording."""
    width, height = (sizes[0].width, sizes[0].height) if sizes else (0, 0)
    seconds = None if footage.is_live else round(footage.until, 3)
    return Media(width, height, frames=footage.end - footage.first, duration_seconds=seconds)

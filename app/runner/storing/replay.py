"""Bring the analysis of a resumed scenario to where its frames are stored."""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from uuid import UUID

import structlog
from anyio import sleep, to_thread
from asyncpg import Record
from msgspec import Struct
from msgspec.structs import replace

from ...analysis.analysis import Analysis
from ...analysis.state import UnreadableStateError
from ...domain.analysis import AnalysisRules
from ...domain.event import Carried, Event, EventState
from ...domain.prediction import FrameSize
from ...postgres import TRANSIENT, Connection, Database
from ...predictions.checkpoint import Checkpoint, SavedAnalysis
from ...predictions.columns import decode_frames
from ...predictions.events import decode_event
from .fenced_store import backoffs
from .stored_frames import PAGE, read_footage, read_frames

log = structlog.get_logger(__name__)

MAX_GAP = 60.0
"""Seconds after which what happened before a live source's absence is over."""


class ResumedAnalysis(Struct, frozen=True):
    """An analysis that has seen the stored frames, and what is to be stored before the next one.

    `events` have another state than before. `saved`: the state if it does not follow from the stored one.
    """

    analysis: Analysis
    events: tuple[Event, ...] = ()
    saved: SavedAnalysis | None = None


class Replay:
    """Resumes the analysis of one scenario, whose fence is claimed. `should_stop`: the run was asked to.

    `has_stored_tracks`: objects are those of the stored track ids.
    """

    def __init__(
        self,
        rules: AnalysisRules,
        scenario_id: UUID,
        claimed: Checkpoint,
        database: Database,
        should_stop: Callable[[], bool],
        *,
        has_stored_tracks: bool = False,
    ) -> None:
        self._scenario_id = scenario_id
        self._claimed = claimed
        self._database = database
        self._should_stop = should_stop
        self._new_analysis = partial(Analysis, rules, has_stored_tracks=has_stored_tracks)

    async def resume(self) -> ResumedAnalysis | None:
        """Return the analysis; None if the run was asked to stop before it was ready.

        A live source that was away for long begins anew, and so does one whose state cannot be read; that of
        a recording is made again from all its frames. What was open then has ended.
        """
        claimed = self._claimed
        now = claimed.unix_offset + time.monotonic()
        is_late = now - claimed.position_seconds > MAX_GAP or not claimed.analysis.state
        if not (claimed.is_live and claimed.next_frame > 0 and is_late):
            try:
                analysis = self._new_analysis(Carried(), claimed.analysis.state or None)
                if not await self._take(analysis, claimed.analysis.frame):
                    return None
                _compare(analysis.carried, claimed.carried)
            except UnreadableStateError as error:
                log.warning("the analysis begins anew", error=str(error), is_live=claimed.is_live)
            else:
                # A live source cannot be replayed from its first frame: all of its states are stored.
                first = None if claimed.next_frame else SavedAnalysis(0, analysis.save())
                return await self._changing(analysis, "open", first)
        if claimed.is_live:
            analysis = self._new_analysis(claimed.carried)
        else:
            ids = Carried(claimed.carried.next_track_id, claimed.carried.next_event_id)
            analysis = self._new_analysis(ids)
            if not await self._take(analysis, 0 if claimed.footage is None else claimed.footage.first):
                return None
        return await self._changing(analysis, "ended", SavedAnalysis(claimed.next_frame, analysis.save()))

    async def read(self, first: int, end: int) -> list[Record] | None:
        """Return up to PAGE frames from `first` on and before `end`; None if the run was asked to stop.

        Raises:
            FootageError: frames of the footage that the scenario asks were removed.
        """
        footage = self._claimed.footage
        if footage is None:
            return await self._read(partial(read_frames, scenario_id=self._scenario_id, first=first, end=end))
        return await self._read(partial(read_footage, scenario_id=footage.scenario_id, first=first, end=end))

    async def _take(self, analysis: Analysis, frame: int) -> bool:
        """Let it see what is stored from a frame on. Returns False if the run was asked to stop."""
        while frame < self._claimed.next_frame:
            rows = await self.read(frame, self._claimed.next_frame)
            if rows is None:
                return False
            await to_thread.run_sync(_take_rows, analysis, rows, self._claimed.sizes)
            if len(rows) < PAGE:
                break
            frame = rows[-1]["frame"] + 1
        return True

    async def _changing(
        self, analysis: Analysis, state: EventState, saved: SavedAnalysis | None = None
    ) -> ResumedAnalysis | None:
        """Return the analysis with the open events in this state, those that have it left out."""
        if not self._claimed.open_events:
            return ResumedAnalysis(analysis, (), saved)
        rows = await self._read(
            partial(
                read_events,
                scenario_id=self._scenario_id,
                numbers=[one.event_id for one in self._claimed.open_events],
            )
        )
        if rows is None:
            return None
        events = [decode_event(row) for row in rows if row["state"] not in (state, "ended")]
        return ResumedAnalysis(analysis, tuple(replace(event, state=state) for event in events), saved)

    async def _read(self, read: Callable[..., Awaitable[list[Record]]]) -> list[Record] | None:
        """Return rows, trying again while the database is away; None if the run was asked to stop."""
        for backoff in backoffs():
            if self._should_stop():
                break
            try:
                async with self._database.connection() as connection:
                    return await read(connection)
            except TRANSIENT as error:
                log.warning("cannot read what is stored yet", error=repr(error))
                await sleep(backoff)
        return None


def _compare(found: Carried, stored: Carried) -> None:
    """Raise UnreadableStateError if ids or cooldowns differ: another version of analysis made them."""
    if found != stored:
        raise UnreadableStateError(f"a replay of the stored frames gives {found} instead of {stored}")


def _take_rows(analysis: Analysis, rows: Sequence[Record], sizes: tuple[FrameSize, ...]) -> None:
    for frame in decode_frames(rows, sizes):
        size = frame.width or 0, frame.height or 0
        analysis.see(frame.frame, frame.time, size, frame.detections)
    analysis.take_events()  # they are stored


async def read_events(connection: Connection, scenario_id: UUID, numbers: Sequence[int]) -> list[Record]:
    """Return the events of a scenario with these ids."""
    rows: list[Record] = await connection.fetch(
        "SELECT * FROM current_events WHERE scenario_id = $1 AND event_id = ANY ($2::bigint[])"
        " ORDER BY event_id",
        scenario_id,
        numbers,
    )
    return rows

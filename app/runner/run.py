"""One attempt of a scenario: claim, read, detect, store batch by batch, and report how it ended."""

import time
from collections.abc import Callable
from functools import partial
from typing import Literal
from uuid import UUID, uuid4

import structlog
from anyio import to_thread
from anyio.lowlevel import checkpoint
from msgspec import ValidationError
from msgspec.structs import replace

from ..concurrency.wake import Wake, from_threads
from ..detectors.base import Detector, DetectorError
from ..detectors.factory import MADE_AT_ONCE, make_detector
from ..domain.analysis import AnalysisRules
from ..domain.media import Media
from ..domain.pins import PinnedError, Pins
from ..domain.reason import DetectorWait, SourceLoss
from ..domain.sampling import FixedRate
from ..domain.source import SourceError, parse_aspect, parse_source
from ..domain.spec import ScenarioSpec
from ..domain.states import SourceState
from ..domain.stored_spec import decode_spec
from ..messages import RunEvent, RunFailed, RunFinished, RunReleased, RunStarted, RunStopped, StartRun
from ..predictions.checkpoint import Batch, Checkpoint, Fence, FencedError
from ..video.reading import FrameReader
from . import metrics
from .analysing.deliveries import with_deliveries
from .analysing.evidence import EvidenceTaker
from .analysing.frame_gaps import gaps_to_notice
from .analysing.step import EndOfAnalysis, RunAnalysis, end_of_events
from .context import RunContext
from .detection import RunDetector
from .footage import FootageRun
from .frames.pipeline import MAX_TAKEN, Pipeline, Taken
from .frames.readers import make_reader
from .source_history import SourceHistory
from .storing.batches import BatchBuilder
from .storing.fenced_store import FencedStore, backoffs
from .storing.replay import Replay
from .storing.shared_statements import SharedStatements
from .storing.stored_frames import FootageError

log = structlog.get_logger(__name__)

PACE, SLOW_PACE = 0.25, 1.0
"""Seconds between batches of a recording; if patient, or of a live source without sampled frames."""

KEEP_EVERY = 60.0
"""Seconds without a batch after which a run tells that its open events still are."""

MAX_PARALLEL = 4
"""Frames of one run that are detected in at the same time: each is held with its picture."""


class Run:
    """One attempt. `next_frame` is the first frame that is not stored yet.

    `emit` is given its events. `may_emit` tells whether one that can wait may be given to it now. `report` is
    called if an earlier attempt stored frames: its runner may have died before it could report them.
    `is_patient`: store frames of a recording once a second and at its end, not as soon as the first is done.
    """

    def __init__(
        self,
        command: StartRun,
        context: RunContext,
        emit: Callable[[RunEvent], None],
        report: Callable[[], None] = lambda: None,
        shared: SharedStatements | None = None,
        may_emit: Callable[[], bool] = lambda: True,
        is_patient: bool = False,
    ) -> None:
        self._command = command
        self._context = context
        self._emit = emit
        self._may_emit = may_emit
        self._report = report
        self._is_patient = is_patient
        self._fence = Fence(command.scenario_id, command.attempt, uuid4())
        self._store = FencedStore(context.database, self._fence, shared)
        self._asked: Literal["stop", "release"] | None = None
        self._wake = Wake()
        self._media: Media | None = None
        self._unsent: Media | None = None
        """The media that no RunStarted has told of yet; it comes with RunFinished if the run is over. So a
        recording of one frame takes 17 % less CPU time (measured)."""
        self.next_frame = 0

    def stop(self, how: Literal["stop", "release"]) -> None:
        """End soon: frames in which detection has begun are still stored."""
        self._asked = self._asked or how
        self._wake.set()

    async def execute(self) -> None:
        """Run to the end, and emit how it ended; nothing if another run has the fence."""
        try:
            event = await self._execute()
        except FencedError:
            log.warning(
                "run abandoned: a newer attempt exists, or the scenario was deleted",
                next_frame=self.next_frame,
            )
            metrics.ENDED.labels(how="Fenced").inc()
        else:
            metrics.ENDED.labels(how=type(event).__name__).inc()
            await self._store.try_to_settle_events(event)
            if self._unsent is not None:
                if isinstance(event, RunFinished):
                    event = replace(event, media=self._unsent)
                else:
                    self._emit(self._event(RunStarted, media=self._unsent))
            self._emit(event)

    async def _execute(self) -> RunEvent:
        claimed = await self._claim()
        if claimed is None:
            return self._ended_as_asked()
        self.next_frame = claimed.next_frame
        if self.next_frame:
            self._report()
        if claimed.is_finished:
            return self._event(RunFinished)
        if self._asked is not None:
            return self._ended_as_asked()
        try:
            spec = decode_spec(self._command.spec)
            aspect = None if spec.aspect is None else parse_aspect(spec.aspect)
            source = replace(parse_source(spec.source), track=spec.track, aspect=aspect)
            if source.kind == "scenario":
                return await self._ask_again(spec, UUID(source.address), claimed)
            make = partial(make_detector, spec.detector, self._context.models, self._context.servers)
            is_quick = isinstance(spec.detector, MADE_AT_ONCE)
            detector = make() if is_quick else await to_thread.run_sync(make, abandon_on_cancel=True)
        except (SourceError, DetectorError) as error:
            return self._event(RunFailed, error=str(error), retryable=False)
        except ValidationError as error:
            return self._event(RunFailed, error=f"this runner's version is too old: {error}", retryable=True)
        run_detector = RunDetector(detector, make, claimed, self._context.live.open(self._fence))
        builder = BatchBuilder(claimed, detector.warm_up)
        builder.recorded_at = None if spec.recorded_at is None else spec.recorded_at.timestamp()
        if spec.file is not None:
            builder.expect(spec.file)
        analysis = None
        if spec.rules != AnalysisRules():
            analysis = await self._resume_analysis(spec, claimed, builder)
            if analysis is None:
                return self._ended_as_asked()
        keeps = self._context.keeps_evidence
        pipeline = self._pipeline(detector, run_detector, analysis)
        sampling = spec.sampling or FixedRate()  # only footage has none
        reader = make_reader(source, sampling, spec.restart, claimed, self._context)
        try:
            reader.start(pipeline)
            last = await self._store_frames(
                pipeline,
                reader,
                run_detector,
                builder,
                SourceHistory(claimed),
                analysis,
                partial(with_deliveries, spec, self._command.scenario_id, claimed.unix_offset, keeps),
            )
        except PinnedError as error:
            return self._event(RunFailed, error=str(error), retryable=False)
        finally:
            reader.stop()
            pipeline.stop()
            run_detector.close()
        fault = run_detector.fault(is_complete=last.is_complete)
        if fault is not None:
            return self._event(RunFailed, error=fault, retryable=False)
        return self._outcome(last)

    async def _ask_again(self, spec: ScenarioSpec, source_id: UUID, claimed: Checkpoint) -> RunEvent:
        """Run analysis over what another scenario has stored."""
        database = self._context.database
        footage = FootageRun(
            self._fence, self._store, database, lambda: self._asked, self._tell_media, self._note_stored
        )
        try:
            is_finished = await footage.execute(spec, source_id, claimed)
        except FootageError as error:
            return self._event(RunFailed, error=str(error), retryable=error.is_retryable)
        return self._event(RunFinished) if is_finished else self._ended_as_asked()

    def _note_stored(self, end: int) -> None:
        self.next_frame = end

    async def _resume_analysis(
        self, spec: ScenarioSpec, claimed: Checkpoint, builder: BatchBuilder
    ) -> RunAnalysis | None:
        """Return the analysis after the stored frames; None if asked to end before it was ready."""
        replay = Replay(
            spec.rules,
            self._command.scenario_id,
            claimed,
            self._context.database,
            lambda: self._asked is not None,
        )
        resumed = await replay.resume()
        if resumed is None:
            return None
        evidence = EvidenceTaker() if self._context.keeps_evidence and spec.rules.may_have_evidence else None
        analysis = RunAnalysis(resumed.analysis, claimed, evidence, gaps_to_notice(spec, claimed))
        builder.saved_analysis = resumed.saved
        if resumed.events:
            builder.change_analysis(resumed.events, analysis.carried, None)
        return analysis

    def _pipeline(
        self, detector: Detector, run_detector: RunDetector, analysis: RunAnalysis | None
    ) -> Pipeline:
        workers = self._context.workers.lane(detector.servers)
        needs_order = detector.is_ordered or detector.warm_up is not None
        is_alone = needs_order or detector.is_single_threaded
        return Pipeline(
            run_detector,
            workers=workers,
            parallel=1 if is_alone else min(MAX_PARALLEL, workers.count),
            wake=from_threads(self._wake.set),
            ordered_step=analysis,
            encode=None if analysis is None else analysis.encode,
            is_patient=self._is_patient,
        )

    async def _store_frames(
        self,
        pipeline: Pipeline,
        reader: FrameReader,
        detector: RunDetector,
        builder: BatchBuilder,
        history: SourceHistory,
        analysis: RunAnalysis | None,
        deliver: Callable[[Batch], Batch],
    ) -> Taken:
        """Store frames until nothing more comes. Returns what was taken last.

        Raises:
            FencedError: another run has the fence.
            PinnedError: the file or the model is another one than when the scenario began.
        """
        stored: tuple[SourceState, SourceLoss | None] = ("opening", None)
        pins: Pins | None = None
        wait: DetectorWait | None = None
        kept_at = time.monotonic()
        while True:
            if self._asked is not None or detector.fault(is_complete=False) is not None:
                reader.stop()
                pipeline.stop()
                detector.abandon()
            taken = pipeline.take()
            status = taken.status
            if status.media is not None:
                if self._media is None:
                    builder.candidates, builder.is_live = status.candidates or "all", status.media.live
                if detector.pins != pins:  # a server tells what it has when it first answers
                    pins = detector.pins
                    builder.pin(replace(pins, file=status.file))
                self._tell_media(status.media, taken.is_over)
            for change in taken.changes:
                history.note(change)
            if history.pending and await self._store.try_to_note(status, tuple(history.pending)):
                history.pending.clear()
                stored = status.state, status.loss
            builder.warn((*status.warnings, *detector.warnings))
            is_finished = taken.is_complete and detector.fault(is_complete=True) is None
            ending = None
            if analysis is not None:
                builder.warn(analysis.warnings)
                if taken.is_over:
                    how = end_of_events(self._asked, is_finished=is_finished, is_live=builder.is_live)
                    ending = EndOfAnalysis(analysis, how)
            batch = builder.build(
                taken.entries,
                source_state="closed" if taken.is_over else status.state,
                is_finished=is_finished,
                ending=ending,
            )
            if batch is not None:
                await self._store.store(deliver(batch))
                self.next_frame = batch.end
                if analysis is not None:
                    analysis.note_stored(batch.end)
                stored = status.state, stored[1]  # a batch tells nothing of a loss
                kept_at = time.monotonic()
            elif builder.has_open_events and time.monotonic() - kept_at > KEEP_EVERY:
                await self._store.try_to_note_alive()
                kept_at = time.monotonic()
            if taken.is_over:
                return taken
            found, since = detector.wait, detector.waits_since
            if found != wait and await self._store.try_to_note_wait(found, since):
                wait = found
            if stored != (status.state, status.loss) and await self._store.try_to_note(status):
                stored = status.state, status.loss
            if len(taken.entries) < MAX_TAKEN:
                await self._wake.wait(SLOW_PACE if status.is_live or self._is_patient else PACE)
            else:
                await checkpoint()

    def _tell_media(self, media: Media, is_over: bool) -> None:
        """Tell what the source is: when the run starts, and whenever a live source changes."""
        if media != self._media:
            event = "run started" if self._media is None else "the source changed"
            picture = {"width": media.width, "height": media.height, "fps": media.fps, "codec": media.codec}
            log.info(event, next_frame=self.next_frame, frames=media.frames, live=media.live, **picture)
            self._media = self._unsent = media
        if self._unsent is not None and not is_over and self._may_emit():
            self._emit(self._event(RunStarted, media=self._unsent))
            self._unsent = None

    def _outcome(self, last: Taken) -> RunEvent:
        if last.is_complete:
            return self._event(RunFinished)
        fault = last.status.fault
        if last.is_all_done and fault is not None:
            return self._event(RunFailed, error=fault.message, retryable=fault.is_retryable)
        if self._asked is None:  # RunReleased would say that this runner leaves
            return self._event(RunFailed, error="the run ended before its source did", retryable=True)
        return self._ended_as_asked()

    def _ended_as_asked(self) -> RunEvent:
        if self._asked == "stop":
            return self._event(RunStopped)
        return self._event(RunReleased, instance=self._command.instance)

    async def _claim(self) -> Checkpoint | None:
        """Take the fence, trying again while the database is away. Returns None if asked to end meanwhile.

        Raises:
            FencedError: another run has the fence.
        """
        for backoff in backoffs():
            claimed = await self._store.try_claim()
            if claimed is not None:
                return claimed
            if self._asked is not None:
                break
            await self._wake.wait(backoff)
        return None

    def _event(self, kind: Callable[..., RunEvent], **details: object) -> RunEvent:
        command = self._command
        return kind(
            scenario_id=command.scenario_id, attempt=command.attempt, next_frame=self.next_frame, **details
        )

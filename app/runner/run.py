"""One attempt of a scenario: claim, read, detect, store batch by batch, and say how it ended."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal
from uuid import uuid4

import structlog
from anyio import sleep, to_thread
from anyio.lowlevel import checkpoint
from msgspec import Struct
from msgspec.structs import replace

from ..concurrency.micro_batching import MicroBatcher
from ..concurrency.wake import Wake
from ..detectors.base import DetectorError
from ..detectors.factory import READS_FILES, make_detector
from ..detectors.onnx.cache import ModelCache
from ..domain.media import Media
from ..domain.networks import Networks
from ..domain.source import SourceError, parse_source
from ..domain.states import SourceState
from ..messages import RunEvent, RunFailed, RunFinished, RunReleased, RunStarted, RunStopped, StartRun
from ..postgres import TRANSIENT, Database
from ..predictions.checkpoint import Batch, Checkpoint, Fence, FencedError
from ..video.decoder.parent import DecoderProcess
from ..video.reader import Reader
from . import checkpoints as store
from . import metrics
from .batches import BatchBuilder
from .detection import Detecting
from .pipeline import MAX_TAKEN, Pipeline
from .workers import Workers

log = structlog.get_logger(__name__)

PACE = 0.25
"""Seconds between batches: the first is stored at once, later frames gather."""

MOST_WORKERS = 4
"""Frames of one run that are looked at at the same time: each is held with its picture."""

_FIRST_BACKOFF, _MAX_BACKOFF = 0.1, 5.0


Decoding = Literal["thread", "process"]


class Tools(Struct, frozen=True):
    """What all runs of a runner share. For each run one thread or process decodes."""

    database: Database
    media_root: Path
    models: ModelCache
    networks: Networks
    workers: Workers
    decoding: Decoding = "thread"


class Run:
    """One attempt. `next_frame` is the first frame that is not stored yet. `emit` is given its events;
    `report` is called where an earlier attempt stored what its runner may not have lived to report."""

    def __init__(
        self,
        command: StartRun,
        tools: Tools,
        emit: Callable[[RunEvent], None],
        report: Callable[[], None] = lambda: None,
        claims: MicroBatcher[Fence, Checkpoint] | None = None,
    ) -> None:
        self._command = command
        self._tools = tools
        self._emit = emit
        self._report = report
        self._claims = claims
        self._fence = Fence(command.scenario_id, command.attempt, uuid4())
        self._asked: Literal["stop", "release"] | None = None
        self._wake = Wake()
        self._untold: Media | None = None
        """What RunStarted would have told, where all was over before it could be sent."""
        self.next_frame = 0

    def stop(self, how: Literal["stop", "release"]) -> None:
        """End soon: what detection has begun with is still stored."""
        self._asked = self._asked or how
        self._wake.set()

    async def execute(self) -> None:
        """Run to the end, and emit what became of it; nothing where another run has the fence."""
        try:
            event = await self._execute()
        except FencedError:
            log.warning(
                "let go: a newer attempt exists, or the scenario was deleted", next_frame=self.next_frame
            )
            metrics.ENDED.labels(how="Fenced").inc()
        else:
            metrics.ENDED.labels(how=type(event).__name__).inc()
            if self._untold is not None:
                if isinstance(event, RunFinished):
                    event = replace(event, media=self._untold)
                else:
                    self._emit(self._event(RunStarted, media=self._untold))
            self._emit(event)

    async def _execute(self) -> RunEvent:
        claimed = await self._claim()
        if claimed is None:
            return self._ended_as_asked()
        self.next_frame = claimed.next_frame
        if self.next_frame:
            self._report()
        if claimed.finished:
            return self._event(RunFinished)
        if self._asked is not None:
            return self._ended_as_asked()
        spec = self._command.spec
        make = partial(make_detector, spec.detector, self._tools.models)
        try:
            source = parse_source(spec.source)
            loads = isinstance(spec.detector, READS_FILES)
            detector = await to_thread.run_sync(make, abandon_on_cancel=True) if loads else make()
        except (SourceError, DetectorError) as error:
            return self._event(RunFailed, error=str(error), retryable=False)
        wake = _from_threads(self._wake.set)

        def noted() -> None:
            # What opening a recording told comes with its first frame.
            if pipeline.live:
                wake()

        kind = DecoderProcess if self._tools.decoding == "process" else Reader
        reader = kind(
            source,
            self._tools.media_root,
            self._tools.networks,
            spec.sampling,
            persistent=claimed.next_frame > 0 or spec.restart.policy == "always",
            wake=noted,
        )
        detecting = Detecting(detector, make, claimed)
        pipeline = Pipeline(
            detecting,
            workers=self._tools.workers,
            most=1
            if detector.is_ordered or detector.is_single_threaded
            else min(MOST_WORKERS, self._tools.workers.count),
            wake=wake,
        )
        try:
            reader.start(claimed, pipeline)
            all_done = await self._store_what_comes(
                pipeline, reader, detecting, BatchBuilder(claimed, detector.warm_up)
            )
        finally:
            reader.stop()
            pipeline.stop()
        fault = detecting.fault(complete=all_done and reader.completed)
        if fault is not None:
            return self._event(RunFailed, error=fault, retryable=False)
        return self._outcome(reader, all_done)

    async def _store_what_comes(
        self, pipeline: Pipeline, reader: Reader | DecoderProcess, detecting: Detecting, builder: BatchBuilder
    ) -> bool:
        """Store until nothing more comes; True where all that was decoded is stored.

        Raises FencedError.
        """
        started = False
        shown: SourceState = "opening"
        while True:
            if self._asked is not None or detecting.fault(complete=False) is not None:
                reader.stop()
                pipeline.stop()
            ready = pipeline.take()
            complete = ready.all_done and reader.completed
            state = reader.state
            if reader.opened is not None and not started:
                started = True
                builder.eligible, builder.live = reader.opened.eligible, reader.opened.media.live
                log.info("run started", next_frame=self.next_frame, media=reader.opened.media)
                if ready.over:
                    self._untold = reader.opened.media
                else:
                    self._emit(self._event(RunStarted, media=reader.opened.media))
            batch = builder.build(
                ready.entries,
                source_state="closed" if ready.over else state,
                finished=complete and detecting.fault(complete=True) is None,
            )
            if batch is not None:
                await self._store(batch)
                shown = state
            if ready.over:
                return ready.all_done
            if shown != state and await self._show(state):
                shown = state
            if len(ready.entries) < MAX_TAKEN:
                await self._wake.wait(PACE)
            else:
                await checkpoint()

    def _outcome(self, reader: Reader | DecoderProcess, all_done: bool) -> RunEvent:
        if all_done and reader.completed:
            return self._event(RunFinished)
        if all_done and reader.fault is not None:
            return self._event(RunFailed, error=str(reader.fault), retryable=reader.fault.retryable)
        if self._asked is None:  # given back, it would say that this runner leaves
            return self._event(RunFailed, error="the run ended before its source did", retryable=True)
        return self._ended_as_asked()

    def _ended_as_asked(self) -> RunEvent:
        if self._asked == "stop":
            return self._event(RunStopped)
        return self._event(RunReleased, instance=self._command.instance)

    async def _claim(self) -> Checkpoint | None:
        """Take the fence, trying again while the database is away; None where it was asked to end meanwhile.

        Raises FencedError.
        """
        backoff = _FIRST_BACKOFF
        if self._claims is not None and (claimed := await self._claims.ask(self._fence)) is not None:
            return claimed
        while True:
            try:
                async with self._tools.database.connection() as connection:
                    return await store.claim(connection, self._fence)
            except TRANSIENT as error:
                log.warning("cannot claim yet", error=repr(error))
            if self._asked is not None:
                return None
            await self._wake.wait(backoff)
            backoff = min(2 * backoff, _MAX_BACKOFF)

    async def _store(self, batch: Batch) -> None:
        """Store a batch exactly once, however often the database fails meanwhile. Raises FencedError."""
        backoff = _FIRST_BACKOFF
        with metrics.STORE_SECONDS.time():
            while not await self._try_to_store(batch):
                await sleep(backoff)
                backoff = min(2 * backoff, _MAX_BACKOFF)
        self.next_frame = batch.end
        metrics.count(batch)

    async def _try_to_store(self, batch: Batch) -> bool:
        try:
            async with self._tools.database.connection() as connection:
                # Where the acknowledgement of an earlier try was lost, the batch is there already.
                return await store.write(connection, self._fence, batch) or await store.is_stored(
                    connection, self._fence, batch
                )
        except TRANSIENT as error:
            log.warning("cannot store yet", error=repr(error), next_frame=batch.start)
            return False

    async def _show(self, state: SourceState) -> bool:
        """Whether it could be shown what became of the source."""
        try:
            async with self._tools.database.connection() as connection:
                await store.note_source_state(connection, self._fence, state)
        except TRANSIENT as error:
            log.warning("cannot show the source's state", error=repr(error), state=state)
            return False
        return True

    def _event(self, kind: Callable[..., RunEvent], **details: object) -> RunEvent:
        command = self._command
        return kind(
            scenario_id=command.scenario_id, attempt=command.attempt, next_frame=self.next_frame, **details
        )


def _from_threads(callback: Callable[[], None]) -> Callable[[], None]:
    """`callback`, to be called from any thread. A read may outlast the event loop: then nothing happens."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(callback)

    return call

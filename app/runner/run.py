"""One attempt of a scenario: claim, read, detect, store batch by batch, and say how it ended."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal
from uuid import uuid4

import structlog
from anyio import sleep, to_thread
from msgspec import Struct

from app.messages import RunEvent, RunFailed, RunFinished, RunReleased, RunStarted, RunStopped, StartRun
from app.networks import Networks
from app.postgres import TRANSIENT, Database
from app.runner import metrics, store
from app.runner.detectors import DetectorError, Segments, make_detector
from app.runner.frames import Detection
from app.runner.pipeline import Item, Pipeline
from app.runner.reader import Begin, Reader
from app.runner.store import Batch, Checkpoint, FencedError
from app.runner.tally import Tally
from app.runner.video import SourceState
from app.scenario import Media
from app.source import SourceError, parse_source
from app.wake import Wake

log = structlog.get_logger(__name__)

PACE = 0.25
"""Seconds between batches: the first is stored at once, later frames gather."""

_MAX_BACKOFF = 5.0


class Tools(Struct, frozen=True):
    """What all runs of a runner share. For each run, `workers` threads detect."""

    database: Database
    media_root: Path
    model_root: Path
    networks: Networks
    workers: int


class Run:
    """One attempt. `next_frame` is the first frame that is not stored yet."""

    def __init__(self, command: StartRun, tools: Tools, emit: Callable[[RunEvent], None]) -> None:
        self._command = command
        self._tools = tools
        self._emit = emit
        self._fence = store.Fence(command.scenario_id, command.attempt, uuid4())
        self._asked: Literal["stop", "release"] | None = None
        self._over = False
        self._wake = Wake()
        self._source_state: store.SourceState = "opening"
        self._eligible: store.Eligible = "all"
        self.next_frame = 0

    def stop(self, how: Literal["stop", "release"]) -> None:
        """End soon: what detection has begun with is still stored."""
        self._asked = self._asked or how
        self._wake.set()

    async def execute(self) -> None:
        """Run to the end, and emit what became of it; nothing where another run has the fence."""
        try:
            event = await self._execute()
        finally:
            self._over = True
        metrics.ENDED.labels(how="Fenced" if event is None else type(event).__name__).inc()
        if event is not None:
            self._emit(event)

    async def _execute(self) -> RunEvent | None:
        checkpoint = await self._claim()
        if checkpoint is None:
            log.warning("not run: a newer attempt exists, or the scenario was deleted")
            return None
        self.next_frame = checkpoint.next_frame
        if checkpoint.finished:
            return self._event(RunFinished)
        try:
            source = parse_source(self._command.spec.source)
            make = partial(make_detector, self._command.spec.detector, self._tools.model_root)
            detector = await to_thread.run_sync(make, abandon_on_cancel=True)
        except (SourceError, DetectorError) as error:
            return self._event(RunFailed, error=str(error), retryable=False)
        tally = Tally(checkpoint, detector.memory)
        # A live source cannot be replayed: there a detector remembers from where the run began.
        segments = Segments(make, detector.memory, checkpoint.counters.sampled) if detector.memory else None

        def detect(item: Item) -> tuple[Detection, ...]:
            assert item.picture is not None  # noqa: S101 - what has none is not detected in
            if segments is None or pipeline.live:
                return detector.detect(item.picture, item.frame)
            return segments.feed(item.sampled, item.picture, item.frame)

        loop = asyncio.get_running_loop()

        def in_loop(callback: Callable[..., None], *arguments: object) -> None:
            loop.call_soon_threadsafe(callback, *arguments)

        reader = Reader(
            source,
            self._tools.media_root,
            self._tools.networks,
            self._command.spec.sampling,
            persistent=checkpoint.next_frame > 0 or self._command.spec.restart.policy == "always",
            on_open=partial(in_loop, self._opened),
            on_state=partial(in_loop, self._note_state),
        )
        pipeline = Pipeline(
            detect,
            workers=1 if detector.memory is not None else self._tools.workers,
            wake=partial(in_loop, self._wake.set),
        )
        begin = Begin(
            frame=checkpoint.replay_frame,
            sampled=checkpoint.replay_sampled,
            eligible=checkpoint.eligible,
            monotonic=loop.time(),
            unix=checkpoint.claimed_at,
        )
        try:
            reader.start(begin, pipeline)
            all_done = await self._store_what_comes(pipeline, reader, tally)
        except FencedError:
            log.warning("let go: another run has the fence", next_frame=self.next_frame)
            return None
        finally:
            reader.stop()
            pipeline.stop()
        return self._outcome(reader, all_done)

    async def _store_what_comes(self, pipeline: Pipeline, reader: Reader, tally: Tally) -> bool:
        """Store until nothing more comes; True where all that was decoded is stored.

        Raises FencedError.
        """
        shown = self._source_state
        while True:
            if self._asked is not None:
                reader.stop()
                pipeline.stop()
            ready = pipeline.take()
            batch = tally.fold(
                ready.entries,
                eligible=self._eligible,
                source_state="closed" if ready.over else self._source_state,
                finished=ready.all_done and reader.completed,
            )
            if batch is not None:
                await self._store(batch)
                shown = batch.source_state
            if ready.over:
                return ready.all_done
            if shown != self._source_state:
                shown = self._source_state
                await self._show(shown)
            await self._wake.wait(PACE)

    def _outcome(self, reader: Reader, all_done: bool) -> RunEvent:
        if all_done and reader.completed:
            return self._event(RunFinished)
        if all_done and reader.fault is not None:
            return self._event(RunFailed, error=str(reader.fault), retryable=reader.fault.retryable)
        if self._asked == "stop":
            return self._event(RunStopped)
        return self._event(RunReleased, instance=self._command.instance)

    async def _claim(self) -> Checkpoint | None:
        backoff = 0.1
        while True:
            try:
                async with self._tools.database.connection() as connection:
                    return await store.claim(connection, self._fence)
            except TRANSIENT as error:
                log.warning("cannot claim yet", error=repr(error))
                await sleep(backoff)
                backoff = min(2 * backoff, _MAX_BACKOFF)

    async def _store(self, batch: Batch) -> None:
        """Store a batch exactly once, however often the database fails meanwhile. Raises FencedError."""
        backoff = 0.1
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

    async def _show(self, state: store.SourceState) -> None:
        try:
            async with self._tools.database.connection() as connection:
                await store.note_source_state(connection, self._fence, state)
        except TRANSIENT as error:
            log.warning("cannot show the source's state", error=repr(error), state=state)

    def _opened(self, media: Media, eligible: store.Eligible) -> None:
        if self._over:
            return
        self._eligible = eligible
        self._source_state = "open"
        log.info("run started", next_frame=self.next_frame, media=media)
        self._emit(self._event(RunStarted, media=media))

    def _note_state(self, state: SourceState) -> None:
        log.info("source", state=state.state, error=state.error)
        self._source_state = state.state
        self._wake.set()

    def _event(self, kind: Callable[..., RunEvent], **details: object) -> RunEvent:
        command = self._command
        return kind(
            scenario_id=command.scenario_id, attempt=command.attempt, next_frame=self.next_frame, **details
        )

"""One attempt against a real database and real sources: how it begins, how it ends, what it stores."""

import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import numpy as np
import pytest
from anyio import Event, create_task_group, fail_after, sleep, to_thread
from msgspec.structs import replace
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from app.detectors.base import Detector
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Mock, Motion
from app.domain.networks import Networks
from app.domain.picture import Picture
from app.domain.prediction import Detection, Prediction
from app.domain.spec import EveryFrame, FixedRate, RestartPolicy, ScenarioSpec
from app.domain.states import SourceState
from app.messages import (
    DropResults,
    Instance,
    RunEvent,
    RunFailed,
    RunFinished,
    RunReleased,
    RunStarted,
    RunStopped,
    StartRun,
)
from app.postgres import Connection, Database, open_database
from app.predictions.checkpoint import Batch, Counters, Fence
from app.runner import checkpoints as store
from app.runner import fenced_store
from app.runner import run as run_module
from app.runner.cleanup.purge import Purge
from app.runner.context import Decoding, RunContext
from app.runner.pipeline import Pipeline
from app.runner.run import Run
from app.runner.workers import WorkerLanes, Workers
from app.video import reader
from app.video.decoder import parent as decoder_process
from app.video.decoder.protocol import ReadEnded
from app.video.open import open_video
from app.video.reading import ReadStatus
from tests.support.batches import batch
from tests.support.cameras import silent_camera
from tests.support.clips import encode, marker_clip
from tests.support.ports import free_port
from tests.support.proxy import Proxy, proxied
from tests.support.waiting import until

INSTANCE = Instance("runner-1", uuid4())
MOCK, EVERY_FRAME = Mock(), EveryFrame()
LIVE = "test:testsrc2?size=320x180&rate=50&live=true"
TEN_THOUSAND_FRAMES = "test:testsrc2?size=64x36&rate=100&duration=100"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    marker_clip(folder / "short.mp4", frames=90)
    return folder


class World:
    """A predictions database, and runs on it."""

    def __init__(self, database: Database, clips: Path, decoding: Decoding = "thread") -> None:
        self.database = database
        self.decoding = decoding
        self.scenario_id = uuid4()
        self.events: list[RunEvent] = []
        self._clips = clips

    def run(self, spec: ScenarioSpec, *, attempt: int = 1, database: Database | None = None) -> Run:
        """An attempt that is still to be executed."""
        database = database or self.database
        workers = WorkerLanes(Workers(2))
        context = RunContext(
            database, self._clips, ModelCache(self._clips), Networks("loopback"), workers, self.decoding
        )
        command = StartRun(INSTANCE, self.scenario_id, attempt, spec)
        return Run(command, context, self.events.append)

    async def stored(self) -> list[asyncpg.Record]:
        async with self.database.connection() as connection:
            return await connection.fetch(
                "SELECT frame, time FROM predictions WHERE scenario_id = $1 ORDER BY frame", self.scenario_id
            )

    async def checkpoint(self) -> asyncpg.Record:
        async with self.database.connection() as connection:
            row = await connection.fetchrow(
                "SELECT * FROM checkpoints WHERE scenario_id = $1", self.scenario_id
            )
        assert row is not None
        return row

    async def reported(self, kind: type[RunEvent]) -> RunEvent:
        """Wait for an event of this kind."""
        await until(lambda: any(isinstance(event, kind) for event in self.events))
        return next(event for event in self.events if isinstance(event, kind))


@pytest.fixture(params=["thread", "process"])
def world(predictions: Database, clips: Path, request: pytest.FixtureRequest) -> World:
    return World(predictions, clips, request.param)


@pytest.fixture
def threaded(predictions: Database, clips: Path) -> World:
    """Where the test reaches into what decodes."""
    return World(predictions, clips)


@asynccontextmanager
async def executing(run: Run) -> AsyncIterator[Event]:
    """The run goes on beside the block, until the event that this gives; the block's end waits for it."""
    over = Event()

    async def execute() -> None:
        await run.execute()
        over.set()

    async with create_task_group() as group:
        group.start_soon(execute)
        yield over


def spec(
    source: str, detector: Any = MOCK, sampling: Any = EVERY_FRAME, policy: Any = "on_failure"
) -> ScenarioSpec:
    return ScenarioSpec(source, detector, sampling, RestartPolicy(policy))


async def test_a_recording_is_stored_to_its_end_and_says_so(world: World) -> None:
    await world.run(spec("short.mp4")).execute()
    *before, finished = world.events
    assert isinstance(finished, RunFinished)
    started = before or [finished]  # the end may tell of the start, too
    assert [
        event.media.frames for event in started if isinstance(event, RunStarted | RunFinished) and event.media
    ] == [90]
    assert [row["frame"] for row in await world.stored()] == list(range(90))
    checkpoint = await world.checkpoint()
    assert (checkpoint["finished"], checkpoint["source_state"]) == (True, "closed")


async def test_a_recording_that_is_over_at_once_is_stored_and_told_of_once(
    predictions: Database, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "PACE", 20.0)  # nothing is looked at before its time
    encode(clips / "frame.mp4", [np.zeros((64, 64), np.uint8)])
    world = World(predictions, clips)
    writes = []
    write = store.write

    async def counted(connection: Connection, fence: Fence, batch: Batch) -> bool:
        writes.append(batch)
        return await write(connection, fence, batch)

    monkeypatch.setattr(store, "write", counted)
    await world.run(spec("frame.mp4")).execute()
    (finished,) = world.events
    assert isinstance(finished, RunFinished)
    assert finished.media is not None
    assert (finished.media.width, finished.media.frames, finished.next_frame) == (64, 1, 1)
    assert [(batch.end, batch.finished) for batch in writes] == [(1, True)]


async def test_a_detector_that_reads_no_files_needs_no_thread(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a thread for nothing")

    monkeypatch.setattr(to_thread, "run_sync", start)
    await threaded.run(spec("short.mp4")).execute()
    assert isinstance(threaded.events[-1], RunFinished)


async def test_what_sampling_chooses_from_is_stored_however_late_the_event_loop_is(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open = threading.Event()

    @contextmanager
    def open_when_told(*arguments: Any, **options: Any) -> Iterator[Any]:
        may_open.wait(10)
        with open_video(*arguments, **options) as opened:
            yield opened

    monkeypatch.setattr(reader, "open_video", open_when_told)
    run = threaded.run(spec("short.mp4", sampling=FixedRate(2)))
    async with executing(run):
        await sleep(0.2)
        run._wake.set()
        may_open.set()
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is busy while the source is opened and read
    assert (await threaded.checkpoint())["eligible"] == "reference"


async def test_a_detector_that_failed_in_every_frame_is_told_of_also_by_an_attempt_that_comes_after(
    threaded: World,
) -> None:
    """As where a process dies after it stored the last frame, and before it says why it gives up."""
    before = Fence(threaded.scenario_id, 1, uuid4())
    errors = [
        Prediction(frame, frame / 30, (), error="the detector failed: ValueError('odd')")
        for frame in range(90)
    ]
    stored = replace(
        batch(0, 90),
        predictions=errors,
        replay_frame=90,
        replay_sampled=90,
        counters=Counters(sampled=90, failed=90),
    )
    async with threaded.database.connection() as connection:
        await store.claim(connection, before)
        assert await store.write(connection, before, stored)
    await threaded.run(spec("short.mp4"), attempt=2).execute()
    failed = threaded.events[-1]
    assert isinstance(failed, RunFailed)
    assert "ValueError('odd')" in failed.error
    assert not failed.retryable
    assert not (await threaded.checkpoint())["finished"]


async def test_a_live_source_goes_on_with_the_next_frame_whatever_its_detector_remembers(
    world: World,
) -> None:
    before = Fence(world.scenario_id, 1, uuid4())
    counted = replace(
        batch(0, 1000), predictions=[], counters=Counters(sampled=500), replay_frame=640, replay_sampled=320
    )
    async with world.database.connection() as connection:
        await store.claim(connection, before)
        assert await store.write(connection, before, counted)
    run = world.run(spec(LIVE, Motion()), attempt=2)
    async with executing(run):
        await until(world.stored, timeout=5)
        run.stop("stop")
    frames = [row["frame"] for row in await world.stored()]
    checkpoint = await world.checkpoint()
    assert frames[0] >= 1000
    assert frames[0] < 1100
    assert checkpoint["frames_sampled"] == 500 + len(frames)
    assert checkpoint["next_frame"] == checkpoint["frames_sampled"] + 500 + checkpoint["frames_dropped"]


async def test_a_live_source_s_times_are_right_however_long_a_model_takes_to_load(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_slowly(config: Any, models: ModelCache) -> Detector:
        time.sleep(1)
        return make_detector(config, models)

    monkeypatch.setattr(run_module, "make_detector", make_slowly)
    run = world.run(spec(LIVE))
    async with executing(run):
        rows = await until(world.stored)
        assert abs(rows[0]["time"] - time.time()) < 0.8
        run.stop("stop")


async def test_what_the_threads_log_bears_the_run_s_names(world: World) -> None:
    with capture_logs(processors=[merge_contextvars]) as logs, bound_contextvars(scenario="this one"):
        run = world.run(spec(LIVE))
        async with executing(run):
            await world.reported(RunStarted)
            run.stop("stop")
    assert {entry["scenario"] for entry in logs if entry["event"] in ("run started", "source")} == {
        "this one"
    }


async def test_a_run_stopped_while_its_source_opens_does_not_wait_for_it(world: World) -> None:
    with silent_camera() as url:
        run = world.run(spec(url))
        async with executing(run):
            await sleep(0.3)
            run.stop("stop")
            with fail_after(1):
                await world.reported(RunStopped)
    assert len(world.events) == 1


async def test_a_run_stopped_while_its_source_reconnects_ends_at_once(world: World) -> None:
    run = world.run(spec(f"rtsp://127.0.0.1:{free_port()}/gone", policy="always"))

    async def reconnecting() -> bool:
        return bool((await world.checkpoint())["source_state"] == "reconnecting")

    async with executing(run):
        await run_claimed(world)
        await until(reconnecting)
        run.stop("stop")
        with fail_after(1):
            await world.reported(RunStopped)


async def run_claimed(world: World) -> None:
    async def there() -> bool:
        async with world.database.connection() as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM checkpoints"))

    await until(there)


async def test_a_state_that_could_not_be_shown_is_shown_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 1

    async def fail_once(connection: Connection, fence: Fence, state: SourceState) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionResetError
        await note(connection, fence, state)

    note = store.note_source_state
    monkeypatch.setattr(store, "note_source_state", fail_once)
    run = world.run(spec(f"rtsp://127.0.0.1:{free_port()}/gone", policy="always"))

    async def reconnecting() -> bool:
        return bool((await world.checkpoint())["source_state"] == "reconnecting")

    async with executing(run):
        await run_claimed(world)
        await until(reconnecting)
        run.stop("stop")


@pytest.mark.parametrize(("how", "kind"), [("stop", RunStopped), ("release", RunReleased)])
async def test_a_run_ends_when_asked_though_it_could_not_claim_yet(
    world: World, predictions_dsn: str, how: Any, kind: type[RunEvent]
) -> None:
    async with proxied(predictions_dsn) as proxy, open_database(proxy.dsn) as away:
        proxy.cut()
        run = world.run(spec("short.mp4"), database=away)
        async with executing(run):
            await sleep(0.3)
            run.stop(how)
            with fail_after(1):
                await world.reported(kind)


async def test_a_run_that_is_released_before_it_began_opens_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        pytest.fail("it was opened")

    monkeypatch.setattr(run_module, "make_detector", never)
    run = world.run(spec("short.mp4"))
    run.stop("release")
    await run.execute()
    assert [type(event) for event in world.events] == [RunReleased]


async def away(proxy: Proxy, seconds: float) -> None:
    proxy.cut()
    await sleep(seconds)
    await proxy.open()


async def test_a_run_outlasts_a_database_that_is_away_for_a_while(world: World, predictions_dsn: str) -> None:
    async with proxied(predictions_dsn) as proxy, open_database(proxy.dsn) as distant:
        run = world.run(spec("test:testsrc2?size=64x36&rate=100&duration=600"), database=distant)
        async with executing(run):
            await until(world.stored)
            await away(proxy, 2)
            before = run.next_frame
            await until(lambda: run.next_frame > before)
            run.stop("stop")
    frames = [row["frame"] for row in await world.stored()]
    assert frames == list(range(run.next_frame))
    assert (await world.checkpoint())["frames_sampled"] == len(frames)


async def test_connections_that_are_cut_at_any_moment_cost_no_frame_and_double_none(
    threaded: World, predictions_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "PACE", 0.001)
    monkeypatch.setattr(fenced_store, "MAX_BACKOFF", 0.01)
    monkeypatch.setattr(fenced_store, "MIN_BACKOFF", 0.01)
    chance = random.Random(1)
    async with proxied(predictions_dsn) as proxy, open_database(proxy.dsn) as distant:
        run = threaded.run(spec(TEN_THOUSAND_FRAMES), database=distant)
        async with executing(run) as over:
            while not over.is_set():
                await sleep(chance.uniform(0, 0.1))
                if chance.random() < 0.5:
                    proxy.lose_answer()
                else:
                    await away(proxy, 0)
    assert [row["frame"] for row in await threaded.stored()] == list(range(10_000))
    assert (await threaded.checkpoint())["frames_sampled"] == 10_000


async def test_nothing_is_left_of_a_scenario_that_is_deleted_while_a_run_still_stores(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "PACE", 0.001)
    purge = Purge(world.database)
    async with create_task_group() as group:
        group.start_soon(purge.run)
        async with executing(world.run(spec(TEN_THOUSAND_FRAMES))):
            await until(world.stored)
            await purge.handle(DropResults(world.scenario_id))
        assert [type(event) for event in world.events] == [RunStarted]

        async def purged() -> bool:
            return bool((await world.checkpoint())["purged"])

        await until(purged)
        assert await world.stored() == []
        group.cancel_scope.cancel()


async def test_a_run_that_nobody_asked_to_end_is_not_given_back(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = threading.Event()
    stop = Pipeline.stop

    def stop_and_tell(pipeline: Pipeline) -> None:
        stop(pipeline)
        given_up.set()

    class WorksTooLate(Detector):
        def detect(self, _picture: Picture, frame: int) -> tuple[Detection, ...]:
            if frame == 5:
                given_up.wait(10)
                return ()
            raise ValueError("no")

    monkeypatch.setattr(Pipeline, "stop", stop_and_tell)
    monkeypatch.setattr(run_module, "make_detector", lambda *_: WorksTooLate())
    await threaded.run(spec(TEN_THOUSAND_FRAMES)).execute()
    started, ended = threaded.events
    assert isinstance(started, RunStarted)
    assert isinstance(ended, RunFailed)
    assert ended.retryable


async def test_a_run_whose_decoding_process_says_nothing_of_an_end_is_not_given_back(
    predictions: Database, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = msgspec.json.encode(ReadEnded(ReadStatus())) + b"\n"
    says_so = f"import socket; link = socket.socket(fileno=0); link.recv(1); link.sendall({last!r})"
    monkeypatch.setattr(decoder_process, "COMMAND", (sys.executable, "-c", says_so))
    world = World(predictions, clips, "process")
    await world.run(spec("short.mp4")).execute()
    (ended,) = world.events
    assert isinstance(ended, RunFailed)


async def test_a_run_that_is_cancelled_leaves_no_thread_behind(world: World) -> None:
    run = world.run(spec("test:testsrc2?size=64x36&rate=100&duration=600"))
    async with create_task_group() as group:
        group.start_soon(run.execute)
        await until(world.stored)
        assert {"decode", "detect"} <= {thread.name for thread in threading.enumerate()}
        group.cancel_scope.cancel()
    await until(lambda: not {"decode", "detect"} & {thread.name for thread in threading.enumerate()})
    assert not any(isinstance(event, RunFinished | RunStopped) for event in world.events)

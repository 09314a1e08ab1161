"""How runs end: when asked, when their source ends, and when nobody asked."""

import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from anyio import create_task_group, fail_after, sleep
from msgspec.structs import replace

from app.detectors.base import Detector
from app.domain.detector_config import Mock, Onnx
from app.domain.picture import Picture
from app.domain.prediction import Detection, Prediction
from app.messages import (
    RunEvent,
    RunFailed,
    RunFinished,
    RunReleased,
    RunStarted,
    RunStopped,
)
from app.postgres import Database, open_database
from app.predictions.checkpoint import Counters, Fence
from app.runner import run as run_module
from app.runner.frames.pipeline import Pipeline
from app.runner.storing import checkpoints as store
from app.runner.storing import claims
from app.video.decoder import parent as decoder_process
from app.video.decoder.protocol import ReadEnded
from app.video.reading import ReadStatus
from tests.runner.runs import ENDLESS, TEN_THOUSAND_FRAMES, World, executing, run_claimed, spec
from tests.support.batches import batch
from tests.support.cameras import silent_camera
from tests.support.ports import free_port
from tests.support.proxy import proxied
from tests.support.waiting import until


async def test_a_later_attempt_also_reports_a_detector_that_failed_in_every_frame(
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
        await claims.claim(connection, before)
        assert await store.write(connection, before, stored)
    await threaded.run(spec("short.mp4"), attempt=2).execute()
    failed = threaded.events[-1]
    assert isinstance(failed, RunFailed)
    assert "ValueError('odd')" in failed.error
    assert not failed.retryable
    assert not (await threaded.checkpoint())["finished"]


@pytest.mark.parametrize(
    ("source", "detector", "told"),
    [
        ("../secret.mp4", Mock(), "'..'"),
        ("/etc/hosts", Mock(), "absolute"),
        ("file:///etc/hosts", Mock(), "'file:'"),
        ("http://192.168.7.7/a.mp4", Mock(), "VA_SOURCE_NETWORKS"),
        ("rtsp://169.254.169.254/", Mock(), "not an address that sources may have"),
        ("short.mp4", Onnx("../model.onnx"), "model"),
    ],
)
async def test_a_command_from_the_bus_opens_nothing_that_the_runner_may_not(
    threaded: World, source: str, detector: Any, told: str
) -> None:
    """Whoever writes to Kafka is not held to what the api checks."""
    await threaded.run(spec(source, detector, policy="never")).execute()
    failed = threaded.events[-1]
    assert isinstance(failed, RunFailed)
    assert told in failed.error
    assert await threaded.stored() == []


async def test_a_run_stopped_while_its_source_opens_does_not_wait_for_it(world: World) -> None:
    with silent_camera() as url:
        run = world.run(spec(url))
        async with executing(run):
            await sleep(0.3)
            run.stop("stop")
            with fail_after(6):
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
        with fail_after(60):
            await world.reported(RunStopped)


@pytest.mark.parametrize(("how", "kind"), [("stop", RunStopped), ("release", RunReleased)])
async def test_a_run_ends_when_asked_even_if_it_could_not_claim_yet(
    world: World, predictions_dsn: str, how: Any, kind: type[RunEvent]
) -> None:
    async with proxied(predictions_dsn) as proxy, open_database(proxy.dsn) as away:
        proxy.cut()
        run = world.run(spec("short.mp4"), database=away)
        async with executing(run):
            await sleep(0.3)
            run.stop(how)
            with fail_after(60):
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


async def test_a_run_that_was_not_asked_to_end_is_not_released(
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


async def test_a_run_whose_decoder_process_ends_without_a_reason_is_not_released(
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
    def count() -> Counter[str]:
        names = [thread.name for thread in threading.enumerate()]
        return Counter(name for name in names if name in ("decode", "detect"))

    others = count()  # of tests before
    run = world.run(spec(ENDLESS))
    async with create_task_group() as group:
        group.start_soon(run.execute)
        await until(world.stored)
        assert {"decode", "detect"} <= set(count())
        group.cancel_scope.cancel()
    await until(lambda: count() <= others)
    assert not any(isinstance(event, RunFinished | RunStopped) for event in world.events)

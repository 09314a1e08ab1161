"""Runs whose detector is on an inference server that goes away, comes back, or has another model."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from app.detectors.remote import endpoint
from app.domain.detector_config import Remote
from app.domain.pins import Pins
from app.domain.reason import DetectorWait
from app.messages import RunFailed, RunFinished, RunStopped
from app.postgres import Database
from app.runner import detection
from tests.runner.runs import LIVE, World, executing, spec
from tests.support import models
from tests.support.inference_server import inference_server
from tests.support.waiting import until

FRAMES = 90


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.yolov8(tmp_path_factory.mktemp("models") / "yolo.onnx", (160, 160))


@pytest.fixture
async def world(predictions: Database, clips: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(endpoint, "MAX_BACKOFF", 0.3)
    monkeypatch.setattr(detection, "WAIT_SHOWN_AFTER", 0.1)
    world = World(predictions, clips)
    yield world
    world.servers.close()


async def wait_of(world: World) -> DetectorWait | None:
    told = (await world.checkpoint())["detector_wait"]
    return None if told is None else msgspec.json.decode(told, type=DetectorWait)


def remote(url: str) -> Remote:
    return Remote(url, timeout_seconds=1.0)


async def test_a_recording_waits_for_its_server_and_loses_no_frame(world: World, yolo: Path) -> None:
    with inference_server(yolo) as server:
        run = world.run(spec("short.mp4", remote(server.url)))

        async def waits() -> bool:
            return (await wait_of(world)) is not None

        server.fault = "503"
        async with executing(run) as over:
            await until(lambda: server.seen)
            await until(waits)
            wait = await wait_of(world)
            assert wait is not None
            assert wait.text.startswith(f"The inference server at {server.url} answers with status 503")
            row = await world.checkpoint()
            assert (row["next_frame"], row["frames_failed"], await world.stored()) == (0, 0, [])
            assert row["detector_waits_since"] <= row["updated_at"]
            server.fault = "none"
            await until(lambda: run.next_frame > 0)
            server.fault = "500"
            await until(waits)
            server.fault = "none"
            await until(over.is_set, 30)
    assert isinstance(world.events[-1], RunFinished)
    assert [row["frame"] for row in await world.stored()] == list(range(FRAMES))
    row = await world.checkpoint()
    assert row["frames_failed"] == 0
    pins = msgspec.json.decode(row["pins"], type=Pins)
    assert pins.model is not None
    assert pins.model.startswith("yolo version 1")
    assert pins.backend == "fake 7"
    assert pins.file is not None


async def test_what_was_waited_for_is_forgotten_once_it_goes_on(world: World, yolo: Path) -> None:
    with inference_server(yolo) as server:
        server.fault = "503"
        run = world.run(spec(LIVE, remote(server.url)))

        async def waits() -> bool:
            return (await wait_of(world)) is not None

        async def goes_on() -> bool:
            return (await wait_of(world)) is None

        async with executing(run):
            await until(lambda: server.seen)
            await until(waits)
            server.fault = "none"
            await until(goes_on)
            run.stop("stop")


async def test_a_live_source_counts_what_it_drops_while_its_server_is_away(world: World, yolo: Path) -> None:
    with inference_server(yolo) as server:
        run = world.run(spec(LIVE, remote(server.url)))

        async def dropped() -> bool:
            return bool((await world.checkpoint())["frames_dropped"] > before + 20)

        async with executing(run):
            await until(lambda: run.next_frame > 5)
            before = (await world.checkpoint())["frames_dropped"]
            stored = len(await world.stored())
            server.fault = "503"
            await until(dropped)
            assert (await world.checkpoint())["frames_failed"] == 0
            assert len(await world.stored()) <= stored + 10  # those that were under way
            server.fault = "none"
            stored = len(await world.stored())

            async def goes_on() -> bool:
                return len(await world.stored()) > stored + 10

            await until(goes_on)
            run.stop("stop")
    assert isinstance(world.events[-1], RunStopped)


async def test_a_stop_abandons_a_request_at_once(world: World, yolo: Path) -> None:
    with inference_server(yolo) as server:
        run = world.run(spec("short.mp4", Remote(server.url, timeout_seconds=300.0)))
        async with executing(run) as over:
            await until(lambda: server.inferences > 3)
            server.fault = "frozen"
            await until(lambda: ("/v2/models/yolo/infer", "frozen") in server.seen)
            began = time.monotonic()
            run.stop("stop")
            await until(over.is_set)
            assert time.monotonic() - began < 30
    assert isinstance(world.events[-1], RunStopped)
    frames = [row["frame"] for row in await world.stored()]
    assert frames == list(range(len(frames)))
    assert (await world.checkpoint())["frames_failed"] == 0


async def test_another_version_in_the_middle_ends_the_run_and_is_not_stored(world: World, yolo: Path) -> None:
    with inference_server(yolo) as server:
        async with executing(world.run(spec("short.mp4", remote(server.url)))) as over:
            await until(lambda: server.inferences > 20)
            server.fault = "another version"
            await until(over.is_set, 30)
    event = world.events[-1]
    assert isinstance(event, RunFailed)
    assert not event.retryable
    assert "has another model than when this scenario began: yolo version 2" in event.error
    row = await world.checkpoint()
    assert row["frames_failed"] == 0
    assert len(await world.stored()) == row["next_frame"] < FRAMES


async def test_a_resumed_run_on_another_version_stores_nothing_more(world: World, yolo: Path) -> None:
    with inference_server(yolo) as server:
        run = world.run(spec("short.mp4", remote(server.url)))
        async with executing(run):
            await until(lambda: run.next_frame > 0)
            run.stop("stop")
        stored = len(await world.stored())
        server.version = "2"
        await world.run(spec("short.mp4", remote(server.url)), attempt=2).execute()
    event = world.events[-1]
    assert stored < FRAMES
    assert isinstance(event, RunFailed)
    assert not event.retryable
    assert "yolo version 1" in event.error
    assert "yolo version 2" in event.error
    assert len(await world.stored()) == stored


async def test_a_model_that_cannot_be_read_fails_and_stores_nothing(world: World, tmp_path: Path) -> None:
    with inference_server(models.classifier(tmp_path / "classifier.onnx")) as server:
        await world.run(spec("short.mp4", remote(server.url))).execute()
    event = world.events[-1]
    assert isinstance(event, RunFailed)
    assert not event.retryable
    assert event.error.startswith(f"The model {server.url!r} cannot be used.")
    assert await world.stored() == []

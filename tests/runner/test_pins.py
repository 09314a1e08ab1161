"""A resumed run whose file or model is another one than before stores nothing more."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from app.domain.analysis import Presence
from app.domain.detector_config import Onnx
from app.domain.pins import PinChange, Pins
from app.domain.spec import ExpectedFile
from app.messages import DateResults, RunFailed, RunFinished, RunStopped
from app.postgres import Database
from app.runner.cleanup.dates import change_date
from app.runner.frames.pipeline import Pipeline
from app.runner.frames.tasks import FrameTask
from app.video.identity import identify
from tests.runner.runs import World, executing, spec
from tests.support.clips import marker_clip
from tests.support.models import yolov8
from tests.support.waiting import until

FRAMES = 900


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    marker_clip(folder / "clip.mp4", frames=FRAMES)
    marker_clip(folder / "other.mp4", frames=FRAMES // 2)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copy2(made / "clip.mp4", tmp_path / "clip.mp4")
    return tmp_path


@pytest.fixture(params=["thread", "process"])
def world(predictions: Database, folder: Path, request: pytest.FixtureRequest) -> World:
    return World(predictions, folder, request.param)


async def pins(world: World) -> Pins:
    return msgspec.json.decode((await world.checkpoint())["pins"], type=Pins)


async def changes(world: World) -> list[PinChange]:
    return msgspec.json.decode((await world.checkpoint())["pin_changes"], type=list[PinChange])


async def begin(world: World, detector: object = None) -> int:
    """Run a first attempt, and stop it in the middle. Returns the number of stored frames."""
    run = world.run(spec("clip.mp4", *([detector] if detector else [])))
    stopped, detect_in = Event(), Pipeline._detect_in

    def hold(pipeline: Pipeline, task: FrameTask) -> Any:
        if task.frame >= FRAMES // 2:  # or all may be done before the run is stopped
            stopped.wait(30)
        return detect_in(pipeline, task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipeline, "_detect_in", hold)
        async with executing(run):
            try:
                await until(lambda: run.next_frame)
            finally:
                run.stop("stop")
                stopped.set()
    assert isinstance(world.events[-1], RunStopped)
    stored = len(await world.stored())
    assert 0 < stored < FRAMES
    return stored


async def test_what_results_depend_on_is_pinned_with_the_first_rows(world: World, folder: Path) -> None:
    await begin(world)
    pinned = await pins(world)
    assert pinned.file is not None
    assert pinned.file.size == (folder / "clip.mp4").stat().st_size
    assert (pinned.rules, pinned.model, pinned.backend) == (1, None, None)
    assert await changes(world) == []


async def test_the_date_of_a_recording_is_pinned_and_its_events_have_dates(
    world: World, folder: Path
) -> None:
    recorded = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    dated = replace(spec("clip.mp4"), presence=Presence(), recorded_at=recorded)
    async with executing(world.run(dated)):
        await until(lambda: any(isinstance(each, RunFinished) for each in world.events))
    assert (await pins(world)).recorded_at == recorded.timestamp()
    async with world.database.connection() as connection:
        rows = await connection.fetch("SELECT at, start_time FROM events")
    assert rows
    for row in rows:
        assert row["at"] == recorded + timedelta(seconds=row["start_time"])


async def test_a_replaced_file_is_not_mixed_in(world: World, folder: Path, made: Path) -> None:
    stored = await begin(world)
    shutil.copy2(made / "other.mp4", folder / "clip.mp4")
    await world.run(spec("clip.mp4"), attempt=2).execute()
    ended = world.events[-1]
    assert isinstance(ended, RunFailed)
    assert not ended.retryable
    assert "the recording is another one than when this scenario began: its size changed" in ended.error
    assert len(await world.stored()) == stored


async def test_only_the_file_that_is_meant_is_analysed(world: World, folder: Path, made: Path) -> None:
    meant = identify(made / "clip.mp4")
    wanted = replace(spec("clip.mp4"), file=ExpectedFile(meant.size or 0, meant.digest))
    shutil.copy2(made / "other.mp4", folder / "clip.mp4")
    await world.run(wanted).execute()
    (failed,) = world.events
    assert isinstance(failed, RunFailed)
    assert (failed.retryable, failed.next_frame) == (False, 0)
    assert failed.error.startswith("the recording is another one")
    assert await world.stored() == []
    async with world.database.connection() as connection:
        await change_date(connection, DateResults(world.scenario_id, 1, 9.0))  # before anything is pinned
    await world.run(wanted, attempt=2).execute()
    assert isinstance(world.events[-1], RunFailed)
    shutil.copy2(made / "clip.mp4", folder / "clip.mp4")
    os.utime(folder / "clip.mp4", ns=(1, 1))
    await world.run(wanted, attempt=3).execute()
    assert isinstance(world.events[-1], RunFinished)
    assert (await pins(world)).file == identify(folder / "clip.mp4")


async def test_a_touched_file_goes_on_and_the_change_is_stored_once(world: World, folder: Path) -> None:
    stored = await begin(world)
    os.utime(folder / "clip.mp4", (1, 1))
    for attempt in (2, 3):
        run = world.run(spec("clip.mp4"), attempt=attempt)
        async with executing(run):
            await until(lambda run=run: run.next_frame > stored)  # type: ignore[misc]
            run.stop("stop")
    await world.run(spec("clip.mp4"), attempt=4).execute()
    assert isinstance(world.events[-1], RunFinished)
    assert [row["frame"] for row in await world.stored()] == list(range(FRAMES))
    (change,) = await changes(world)
    assert change.frame == stored
    assert "modification time changed" in change.text


async def test_another_model_of_the_same_name_is_not_mixed_in(predictions: Database, folder: Path) -> None:
    world = World(predictions, folder)
    model = Onnx("model.onnx")
    yolov8(folder / "model.onnx", (64, 64))
    stored = await begin(world, model)
    pinned = await pins(world)
    assert (len(pinned.model or ""), pinned.backend) == (64, "onnxruntime")
    yolov8(folder / "model.onnx", (96, 96))
    await world.run(spec("clip.mp4", model), attempt=2).execute()
    ended = world.events[-1]
    assert isinstance(ended, RunFailed)
    assert not ended.retryable
    assert "the model file is another one" in ended.error
    assert len(await world.stored()) == stored


async def test_what_an_older_release_stored_is_pinned_when_it_is_resumed(world: World) -> None:
    await begin(world)
    async with world.database.connection() as connection:
        await connection.execute("UPDATE checkpoints SET pins = NULL")
    await world.run(spec("clip.mp4"), attempt=2).execute()
    assert isinstance(world.events[-1], RunFinished)
    assert (await pins(world)).file is not None

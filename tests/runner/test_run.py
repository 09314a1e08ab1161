"""One attempt on a real database and real sources: how it begins, and what it stores."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from anyio import sleep, to_thread
from msgspec.structs import replace
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from app.detectors.base import Detector
from app.detectors.factory import make_detector
from app.domain.detector_config import Motion
from app.domain.sampling import FixedRate
from app.messages import (
    RunFinished,
    RunStarted,
)
from app.postgres import Connection, Database
from app.predictions.checkpoint import Batch, Counters, Fence
from app.runner import run as run_module
from app.runner.storing import checkpoints as store
from app.runner.storing import claims
from app.video import reader
from app.video.open import open_video
from app.video.reading import FrameSink
from tests.runner.runs import LIVE, World, executing, spec
from tests.support.batches import batch
from tests.support.clips import encode
from tests.support.waiting import until


async def test_a_recording_is_stored_to_its_end_and_reported_as_finished(world: World) -> None:
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


async def test_a_recording_of_one_frame_takes_one_write_and_one_event(
    predictions: Database, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "PACE", 20.0)  # nothing is looked at before its time
    encode(clips / "frame.mp4", [np.zeros((64, 64), np.uint8)])
    world = World(predictions, clips)
    start = reader.ThreadReader.start

    def start_later(self: reader.ThreadReader, sink: FrameSink) -> None:
        """Begin when the run has looked for the first time, as it does if reading is the nicer thread."""
        asyncio.get_running_loop().call_later(0.2, start, self, sink)

    monkeypatch.setattr(reader.ThreadReader, "start", start_later)
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
    assert [(batch.end, batch.is_finished) for batch in writes] == [(1, True)]


async def test_a_detector_that_reads_no_files_needs_no_thread(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a thread for nothing")

    monkeypatch.setattr(to_thread, "run_sync", start)
    await threaded.run(spec("short.mp4")).execute()
    assert isinstance(threaded.events[-1], RunFinished)


async def test_the_candidate_frames_are_stored_however_late_the_event_loop_is(
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


async def test_a_live_source_goes_on_with_the_next_frame_even_if_its_detector_has_a_warm_up(
    world: World,
) -> None:
    before = Fence(world.scenario_id, 1, uuid4())
    counted = replace(
        batch(0, 1000), predictions=[], counters=Counters(sampled=500), replay_frame=640, replay_sampled=320
    )
    async with world.database.connection() as connection:
        await claims.claim(connection, before)
        assert await store.write(connection, before, counted)
    run = world.run(spec(LIVE, Motion()), attempt=2)
    async with executing(run):
        await until(world.stored)
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
    def make_slowly(*what: Any) -> Detector:
        time.sleep(3)
        return make_detector(*what)

    monkeypatch.setattr(run_module, "make_detector", make_slowly)
    run = world.run(spec(LIVE))
    async with executing(run):
        rows = await until(world.stored)
        assert abs(rows[0]["time"] - time.time()) < 2.5
        run.stop("stop")


async def test_log_lines_of_threads_have_the_run_s_names(world: World) -> None:
    with capture_logs(processors=[merge_contextvars]) as logs, bound_contextvars(scenario="this one"):
        run = world.run(spec(LIVE))
        async with executing(run):
            await world.reported(RunStarted)
            run.stop("stop")
    assert {entry["scenario"] for entry in logs if entry["event"] in ("run started", "source")} == {
        "this one"
    }

"""Runs of live sources: many of them, and those that are away at first or when they are resumed."""

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from app.messages import RunFailed, RunStarted
from app.postgres import Connection, Database
from app.predictions.checkpoint import BatchWrite, WriteResult
from app.runner.storing import checkpoints
from app.runner.storing.shared_statements import LIVE_INTERVAL, SharedStatements
from tests.runner.runs import World, executing, spec
from tests.support import clips
from tests.support.rtsp_server import RtspServer
from tests.support.waiting import until
from tests.support.web_server import web_server


async def test_an_http_source_that_was_live_before_is_waited_for(world: World, tmp_path: Path) -> None:
    """After a power cut, cameras return later than the service."""

    async def stored() -> bool:
        return len(await world.stored()) >= wanted

    async def reconnects() -> bool:
        return bool((await world.checkpoint())["source_state"] == "reconnecting")

    clip = clips.marker_clip(tmp_path / "live.ts", frames=30, size=(256, 192), gop=15)
    with web_server(tmp_path) as server:
        server.endless = True
        source = spec(f"{server.url}/live.ts")
        run, wanted = world.run(source), 5
        async with executing(run):
            await until(stored, timeout=30)
            run.stop("stop")
        away = clip.rename(tmp_path / "away.ts")
        run = world.run(source, attempt=2)
        async with executing(run):
            await until(reconnects, timeout=30)
            assert not any(isinstance(event, RunFailed) for event in world.events)
            wanted = len(await world.stored()) + 5
            away.rename(clip)
            await until(stored, timeout=30)
            run.stop("stop")
    frames = [row["frame"] for row in await world.stored()]
    assert frames == sorted(set(frames))


async def test_all_live_sources_of_a_runner_are_stored_by_a_few_statements(
    predictions: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements = 0
    write_batches = checkpoints.write_batches

    async def counted(connection: Connection, writes: Sequence[BatchWrite]) -> list[WriteResult]:
        nonlocal statements
        statements += 1
        return await write_batches(connection, writes)

    async def all_stored() -> bool:
        return all([len(await world.stored()) >= 20 for world in worlds])

    monkeypatch.setattr(checkpoints, "write_batches", counted)
    worlds = [World(predictions, tmp_path) for _ in range(8)]
    shared = SharedStatements(predictions)
    camera = spec("test:testsrc2?size=64x36&rate=20&live=true")
    runs = [world.run(camera, shared=shared) for world in worlds]
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        for run in runs:
            await stack.enter_async_context(executing(run))
        await until(all_stored)
        at_most = (time.monotonic() - began) / LIVE_INTERVAL + 2
        assert statements <= at_most  # each source alone would have as many
        for run in runs:
            run.stop("stop")
    for world in worlds:
        stored, checkpoint = await world.stored(), await world.checkpoint()
        assert checkpoint["frames_sampled"] == len(stored)
        assert checkpoint["next_frame"] == checkpoint["frames_sampled"] + checkpoint["frames_dropped"]


async def test_a_camera_that_never_sends_a_picture_is_a_failure_that_counts(
    world: World, tmp_path: Path
) -> None:
    clip = clips.marker_clip(tmp_path / "clip.mp4", frames=60, size=(256, 192), bframes=0)
    with RtspServer(clip) as server:
        server.has_key_frames, server.pictures = False, 60
        async with executing(world.run(spec(server.url()))) as over:
            await until(over.is_set, timeout=30)
    (event,) = world.events
    assert isinstance(event, RunFailed)
    assert event.retryable
    assert not any(isinstance(event, RunStarted) for event in world.events)

"""Runs of live sources that are away: before the first picture, and when they are resumed."""

from pathlib import Path

from app.messages import RunFailed, RunStarted
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

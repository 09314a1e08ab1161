"""Cameras that are off at first, or after a power cut, and those that wait because slots are in use."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import count, cycle
from pathlib import Path

import pytest

from tests.support.cameras import RtspCamera
from tests.support.clips import marker_clip
from tests.support.http_cameras import Reply, http_camera, jpeg
from tests.support.ports import free_port
from tests.support.rtsp_server import RtspServer
from tests.support.service import Json, ServiceProcess, running
from tests.support.waiting import until
from tests.support.web_server import web_server
from tests.video.watching import live_playlist

MOCK = {"type": "mock"}
CAMERA = "test:testsrc2?size=64x48&rate=5&live=true"


class Site:
    """Cameras of each kind, which lose their power together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rtsp = RtspCamera(
            marker_clip(folder / "loop.mp4", frames=60, size=(256, 192), gop=15, bframes=0)
        )
        self._jpegs = [jpeg(number) for number in range(30)]
        self._snapshots = cycle(self._jpegs)
        self._ports = [free_port() for _ in range(4)]
        marker_clip(folder / "one.ts", frames=60, size=(256, 192), gop=15)
        live_playlist(folder, 2)
        stream, mjpeg, snapshot, playlist = (f"http://127.0.0.1:{port}" for port in self._ports)
        self.urls = {
            "rtsp": self._rtsp.url,
            "ts": f"{stream}/one.ts",
            "hls": f"{playlist}/live.m3u8",
            "mjpeg": f"{mjpeg}/live",
            "snapshot": f"{snapshot}/snapshot.jpg",
        }

    @contextmanager
    def powered(self) -> Iterator[None]:
        """Run the cameras during the block."""
        with ExitStack() as stack:
            stack.enter_context(self._rtsp)
            stack.enter_context(web_server(self._folder, self._ports[0])).endless = True
            stack.enter_context(web_server(self._folder, self._ports[3]))
            stack.enter_context(http_camera(self._mjpeg, self._ports[1]))
            stack.enter_context(http_camera(self._snapshot, self._ports[2]))
            yield

    def _mjpeg(self, _: BaseHTTPRequestHandler) -> Reply:
        parts = (b"--x\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n" % self._jpegs[n % 30] for n in count())
        return Reply({"Content-Type": "multipart/x-mixed-replace; boundary=x"}, parts)

    def _snapshot(self, _: BaseHTTPRequestHandler) -> Reply:
        return Reply({"Content-Type": "image/jpeg"}, iter([next(self._snapshots)]))


async def stored(service: ServiceProcess, scenario_id: str) -> int:
    frames: int = (await service.get(scenario_id))["progress"]["frames_sampled"]
    return frames


@pytest.mark.timeout(400)
async def test_after_a_power_cut_cameras_of_every_kind_are_waited_for(tmp_path: Path) -> None:
    site = Site(tmp_path)

    async def all_have_more_than(before: dict[str, int]) -> bool:
        return all([await stored(service, each) > frames + 1 for each, frames in before.items()])

    async def say_why() -> bool:
        return all([(await service.get(each))["reason"] for each in ids.values()])

    async with running(tmp_path, runner_slots=8) as service:
        with site.powered():
            ids = {kind: await service.create(url, MOCK) for kind, url in site.urls.items()}
            await until(lambda: all_have_more_than(dict.fromkeys(ids.values(), 0)), timeout=120)
            service.kill()
        await service.start()
        await until(say_why)
        await asyncio.sleep(20)  # an attempt that fails would have been tried five times by then
        before = {}
        for kind, each in ids.items():
            scenario = await service.get(each)
            assert scenario["state"] != "inactive", (kind, scenario["error"])
            assert scenario["reason"]["code"] == "reconnecting", kind
            before[each] = scenario["progress"]["frames_sampled"]
        with site.powered():
            await until(lambda: all_have_more_than(before), timeout=120)
            for kind, each in ids.items():
                items = [item for item in await service.history(each) if item["kind"] == "source"]
                states = {item["state"] for item in items}
                assert states == {"reconnecting", "open"}, kind


async def test_a_camera_that_opens_and_yields_nothing_fails_after_its_restarts(tmp_path: Path) -> None:
    clip = marker_clip(tmp_path / "clip.mp4", frames=60, size=(256, 192), bframes=0)
    with RtspServer(clip) as server:
        server.has_key_frames, server.pictures, server.interval = False, 60, 0.01
        async with running(tmp_path) as service:
            restart = {"policy": "on_failure", "max_restarts": 1}
            scenario_id = await service.create(server.url(), MOCK, restart=restart)
            scenario = await service.ends(scenario_id)
            states = [item["to"] for item in await service.history(scenario_id)]
    assert scenario["outcome"] == "failed"
    assert "given up after 2 attempts in a row that stored nothing new" in scenario["error"]
    assert "active" not in states


async def test_a_scenario_that_waits_for_a_slot_says_so_and_goes_on_when_one_is_free(tmp_path: Path) -> None:
    async def waits() -> Json | None:
        reason: Json | None = (await service.get(waiting))["reason"]
        return reason

    async with running(tmp_path, runner_slots=1) as service:
        holder = await service.create(CAMERA, MOCK)
        await service.reaches(holder, "active")
        waiting = await service.create("test:testsrc2?size=64x48&rate=5&duration=1", MOCK)
        reason = await until(waits)
        assert reason is not None
        assert reason["code"] == "no_slot"
        assert "1 of 1 slots are in use" in reason["text"]
        await service.ask_to("stop", holder)
        ended = await service.ends(waiting)
        assert (ended["outcome"], ended["reason"]) == ("completed", None)

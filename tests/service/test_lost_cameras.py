"""Cameras that are away under `restart: always`: what GET, history, stream and metrics say of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from anyio import create_task_group

from tests.support.cameras import RtspCamera
from tests.support.clips import marker_clip
from tests.support.ports import free_port
from tests.support.rtsp_server import RtspServer
from tests.support.service import Json, ServiceProcess, running
from tests.support.waiting import until

MOCK = {"type": "mock"}
ALWAYS = {"policy": "always"}
OUTAGE = 6.0  # seconds, at least


class Cameras:
    """Scenarios of one service whose cameras are away."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service

    async def add(self, url: str) -> str:
        return await self._service.create(url, MOCK, restart=ALWAYS)

    async def reason(self, scenario_id: str, text: str) -> Json:
        """Wait until the reason has this text, and return it."""

        async def found() -> Json | None:
            reason: Json | None = (await self._service.get(scenario_id))["reason"]
            return reason if reason and text in reason["text"] else None

        reason = await until(found)
        assert reason is not None
        return reason

    async def is_open(self, scenario_id: str) -> bool:
        scenario = await self._service.get(scenario_id)
        return scenario["source_state"] == "open" and scenario["reason"] is None

    async def source_items(self, scenario_id: str) -> list[tuple[str, str]]:
        items = await self._service.history(scenario_id)
        assert [item["at"] for item in items] == sorted(item["at"] for item in items)
        return [(item["state"], item["reason"]) for item in items if item["kind"] == "source"]


@asynccontextmanager
async def following(service: ServiceProcess) -> AsyncIterator[list[Any]]:
    """Collect the stream's progress events during the block."""
    events: list[Any] = []
    begin = 'data: {"scenario_id"'

    async def follow() -> None:
        async with service.http.stream("GET", "/stream") as response:
            async for line in response.aiter_lines():
                events.extend([json.loads(line[6:])] if line.startswith(begin) else [])

    async with create_task_group() as tasks:
        tasks.start_soon(follow)
        yield events
        tasks.cancel_scope.cancel()


def small_clip(folder: Path) -> Path:
    return marker_clip(folder / "loop.mp4", frames=60, size=(256, 192), gop=15, bframes=0)


async def test_each_way_to_be_away_says_why_since_when_and_how_often_it_was_tried(tmp_path: Path) -> None:
    clip = small_clip(tmp_path)
    challenges = ['Digest realm="cam", nonce="n"']
    with RtspServer(clip) as strict, RtspServer(clip) as changed:
        strict.challenges = changed.challenges = challenges
        async with running(tmp_path) as service:
            cameras = Cameras(service)
            nobody = await cameras.add(f"rtsp://127.0.0.1:{free_port()}/live")
            refused = await cameras.add(strict.url(login="admin:wrong@"))
            regular = await cameras.add(changed.url(login="admin:s3cret@"))
            await until(lambda: cameras.is_open(regular))
            changed.password = "changed"  # noqa: S105 - a test's
            changed.hang_up()
            async with following(service) as events:
                for scenario_id, text in (
                    (nobody, "nothing listens there"),
                    (refused, "(401)"),
                    (regular, "(401)"),
                ):
                    reason = await cameras.reason(scenario_id, text)
                    assert reason["code"] == "reconnecting"
                    assert reason["since"]
                    assert reason["count"] >= 1
                    assert (reason["last_frame_at"] is None) == (scenario_id != regular)
                    scenario = await service.get(scenario_id)
                    assert scenario["error"] is None
                    assert scenario["source_state"] == "reconnecting"
                await until(
                    lambda: (
                        {each["scenario_id"] for each in events if each["reason"]}
                        == {nobody, refused, regular}
                    )
                )
            assert [state for state, _ in await cameras.source_items(nobody)] == ["reconnecting"]
            ((state, why),) = await cameras.source_items(refused)
            assert state == "reconnecting"
            assert "check the user name and password" in why
            items = await cameras.source_items(regular)
            assert [state for state, _ in items] == ["reconnecting", "reconnecting"]
            assert "(401)" in items[1][1]
            assert "wrong" not in service.log.read_text()
            assert "s3cret" not in json.dumps([items, why])
            metrics = (await service.http.get("/metrics")).text
            assert 'videoanalysis_scenarios_held_up{reason="reconnecting"} 3.0' in metrics
            assert "videoanalysis_source_losses_total 3.0" in metrics


async def test_an_outage_is_in_the_history_and_its_end_too(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        cameras = Cameras(service)
        with RtspCamera(small_clip(tmp_path)) as camera:
            scenario_id = await cameras.add(camera.url)
            await until(lambda: cameras.is_open(scenario_id))
            async with following(service) as events:
                camera.kill()
                reason = await cameras.reason(scenario_id, "nothing listens there")
                assert reason["last_frame_at"]
                assert reason["last_frame_at"] <= reason["since"]
                await asyncio.sleep(OUTAGE)
                await asyncio.to_thread(camera.start)
                await until(lambda: cameras.is_open(scenario_id))
                states = [each["source_state"] for each in events]
                assert "reconnecting" in states
                await until(lambda: events[-1]["source_state"] == "open")
                assert events[-1]["reason"] is None
            items = await cameras.source_items(scenario_id)
        assert [state for state, _ in items][-2:] == ["reconnecting", "open"]
        words = items[-1][1].split()
        assert words[:2] == ["back", "after"]
        assert float(words[2]) >= OUTAGE
        scenario = await service.get(scenario_id)
        assert (scenario["state"], scenario["attempt"]) == ("active", 1)

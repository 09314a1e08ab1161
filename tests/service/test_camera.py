"""Live cameras that die, return and fall silent, as the API shows them."""

from pathlib import Path

import pytest

from tests.support.cameras import RtspCamera, silent_camera
from tests.support.clips import marker_clip
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until

MARKER = {"type": "marker"}
ALL = {"mode": "all"}


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return marker_clip(tmp_path_factory.mktemp("looped") / "loop.mp4", frames=300, gop=15, bframes=0)


async def stored(service: ServiceProcess, scenario_id: str) -> int:
    frames: int = (await service.get(scenario_id))["progress"]["frames_sampled"]
    return frames


async def shows(service: ServiceProcess, scenario_id: str, state: str) -> bool:
    return bool((await service.get(scenario_id))["source_state"] == state)


async def test_a_camera_that_dies_and_returns_loses_only_the_gap(tmp_path: Path, looped: Path) -> None:
    async with running(tmp_path) as service:
        with RtspCamera(looped) as camera:
            scenario_id = await service.create(camera.url, MARKER, sampling=ALL)
            scenario = await service.reaches(scenario_id, "active")
            assert scenario["media"]["live"]
            await until(lambda: stored(service, scenario_id))
            camera.kill()
            await until(lambda: shows(service, scenario_id, "reconnecting"))
            before = await stored(service, scenario_id)
            assert (await service.get(scenario_id))["state"] == "active"
            camera.start()
            await until(lambda: shows(service, scenario_id, "open"))
            await until(lambda: more(service, scenario_id, before + 10))
            await service.ask_to("stop", scenario_id)
            ended = await service.ends(scenario_id)
        assert (ended["outcome"], ended["attempt"]) == ("stopped", 1)
        predictions = await service.predictions(scenario_id)
        frames = [prediction["frame"] for prediction in predictions]
        times = [prediction["time"] for prediction in predictions]
        assert frames == sorted(set(frames))
        assert times == sorted(times)
        assert len(frames) + ended["progress"]["frames_dropped"] == ended["progress"]["frames_read"]


async def more(service: ServiceProcess, scenario_id: str, than: int) -> bool:
    return await stored(service, scenario_id) > than


async def test_a_camera_that_says_nothing_is_noticed_and_slows_nobody_down(
    tmp_path: Path, clips: Path
) -> None:
    async with running(tmp_path, media_root=clips) as service:
        with silent_camera() as url:
            silent = await service.create(url, MARKER, restart={"policy": "never"})
            recorded = await service.create("minute.mp4", MARKER, sampling=ALL)
            assert (await service.ends(recorded))["outcome"] == "completed"
            scenario = await service.ends(silent)
        assert scenario["outcome"] == "failed"
        assert "silent" in scenario["error"]


async def test_a_camera_that_says_nothing_can_be_stopped_and_deleted_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        with silent_camera() as url:
            scenario_id = await service.create(url, MARKER)
            await until(lambda: shows(service, scenario_id, "opening"))
            await service.ask_to("stop", scenario_id)
            assert (await service.ends(scenario_id, timeout=6))["outcome"] == "stopped"
            assert (await service.http.delete(f"/scenarios/{scenario_id}")).status_code == 204


async def test_a_camera_that_is_started_again_numbers_its_frames_on(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        source = "test:testsrc2?size=320x180&rate=50&live=true"
        scenario_id = await service.create(source, {"type": "motion"}, sampling=ALL)
        await until(lambda: more(service, scenario_id, 10))
        await service.ask_to("stop", scenario_id)
        stopped = await service.ends(scenario_id)
        await service.ask_to("start", scenario_id)
        before = stopped["progress"]["frames_sampled"]
        await until(lambda: more(service, scenario_id, before + 10))
        await service.ask_to("stop", scenario_id)
        ended = (await service.ends(scenario_id))["progress"]
        frames = [prediction["frame"] for prediction in await service.predictions(scenario_id)]
    assert frames == sorted(set(frames))
    assert len(frames) == ended["frames_sampled"] == ended["frames_read"] - ended["frames_dropped"]
    assert len([frame for frame in frames if frame < stopped["progress"]["frames_read"]]) == before

"""The previous release and this version on the same databases: in turn, and as processes of one fleet."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import Fleet, fleet
from tests.support.service import Json, ServiceProcess, running
from tests.support.waiting import until

MARKER = {"type": "marker"}
ALL = {"mode": "all"}

pytestmark = pytest.mark.timeout(300)


def assert_complete(predictions: list[Json], frames: int) -> None:
    assert [prediction["frame"] for prediction in predictions] == list(range(frames))
    for prediction in predictions:
        labels = [detection["label"] for detection in prediction["detections"]]
        assert labels == [f"aruco:{prediction['frame'] % 1000}"]


async def settled(service: ServiceProcess, scenario_id: str) -> int:
    frames: int = (await service.get(scenario_id))["progress"]["frames_sampled"]
    return frames


async def test_databases_are_converted_in_the_middle_of_a_scenario_and_back_again(
    tmp_path: Path, media: Path, previous: Path
) -> None:
    shared: dict[str, Any] = {"data_dir": tmp_path / "data", "media_root": media}
    folders = [tmp_path / name for name in ("before", "now", "again")]
    for folder in folders:
        folder.mkdir()
    async with running(folders[0], previous, **shared) as before:
        done = await before.create("90.mp4", MARKER, sampling=ALL)
        await before.ends(done)
        half = await before.create("1800.mp4", MARKER, sampling=ALL)
        await until(lambda: settled(before, half))
        before.kill()
    async with running(folders[1], **shared) as now:
        assert_complete(await now.predictions(done), 90)
        stored = await settled(now, half)
        assert 0 < stored < 1800
        await until(lambda: _past(now, half, stored))
        now.kill()
    async with running(folders[2], previous, **shared) as again:
        assert (await again.ends(half))["outcome"] == "completed"
        assert_complete(await again.predictions(half), 1800)
        assert_complete(await again.predictions(done), 90)


async def _past(service: ServiceProcess, scenario_id: str, frames: int) -> bool:
    return await settled(service, scenario_id) > frames


@pytest.mark.parametrize("ahead", ["orchestrator", "runner"])
async def test_roles_of_two_versions_work_together(
    tmp_path: Path, media: Path, kafka: str, previous: Path, ahead: str
) -> None:
    """An api is upgraded last: it waits until both databases have been converted for its version."""
    code = {name: previous for name in ("api", "orchestrator", "runner") if name != ahead}
    members = {"api": "api", "orchestrator": "orchestrator", "runner": "runner"}
    async with fleet(tmp_path, media, kafka, code, **members) as mixed:
        ids = [await mixed.api.create("90.mp4", MARKER, sampling=ALL) for _ in range(5)]
        stopped = await mixed.api.create("1800.mp4", MARKER, sampling=ALL)
        await until(lambda: settled(mixed.api, stopped))
        assert (await mixed.api.http.post(f"/scenarios/{stopped}/stop")).status_code in (200, 202)
        assert (await mixed.api.ends(stopped))["outcome"] == "stopped"
        for scenario_id in ids:
            assert (await mixed.api.ends(scenario_id))["outcome"] == "completed"
            assert_complete(await mixed.api.predictions(scenario_id), 90)
        assert (await mixed.api.http.post(f"/scenarios/{stopped}/start")).status_code in (200, 202)
        assert (await mixed.api.ends(stopped))["outcome"] == "completed"
        assert_complete(await mixed.api.predictions(stopped), 1800)
        assert (await mixed.api.http.delete(f"/scenarios/{ids[0]}")).status_code in (200, 202, 204)


async def test_a_fleet_is_upgraded_process_by_process_under_a_running_scenario(
    tmp_path: Path, media: Path, kafka: str, previous: Path
) -> None:
    roles = {"api": "api", "orchestrator": "orchestrator", "runner": "runner"}
    async with fleet(tmp_path, media, kafka, dict.fromkeys(roles, previous), **roles) as upgraded:
        running_one = await upgraded.api.create("1800.mp4", MARKER, sampling=ALL)
        await until(lambda: settled(upgraded.api, running_one))
        for name in ("orchestrator", "runner"):
            newer = upgraded.add(f"new-{name}", name)
            await newer.ready(60)
            await _end(upgraded, name)
        newest = upgraded.add("new-api", "api")
        await newest.ready(60)
        for service in (upgraded.api, newest):
            assert (await service.ends(running_one))["outcome"] == "completed"
            assert_complete(await service.predictions(running_one), 1800)


async def test_changes_wait_for_an_orchestrator_that_understands_them(
    tmp_path: Path, media: Path, kafka: str, previous: Path
) -> None:
    """Release 0.1.0 knows neither tags nor successions: it must not carry out a half, or drop the whole."""
    code = {"old": previous}
    async with fleet(
        tmp_path, media, kafka, code, api="api", old="orchestrator", new="orchestrator", runner="runner"
    ) as mixed:
        api = mixed.api
        old = await api.create("1800.mp4", MARKER, sampling=ALL, tags=["gate"])
        await until(lambda: settled(api, old))
        await _end(mixed, "new")
        plain = await api.create("90.mp4", MARKER, sampling=ALL)
        changed = await api.http.patch(f"/scenarios/{plain}", json={"name": "yard"})
        body = {"source": "90.mp4", "detector": MARKER, "sampling": ALL, "replaces": old}
        created = await api.http.post("/scenarios", json=body)
        assert (changed.status_code, created.status_code) == (202, 202)
        assert (await api.ends(plain))["name"] == ""
        assert (await api.get(old))["replaced_by"] is None
        await mixed.add("newer", "orchestrator").ready(60)
        new = created.json()["id"]
        await until(lambda: api.exists(new), 60)
        ended = await api.ends(new)
        assert (ended["outcome"], ended["tags"], ended["replaces"]) == ("completed", ["gate"], old)
        assert (await api.ends(old))["replaced_by"] == new
        await until(lambda: _has_name(api, plain, "yard"))


async def _has_name(service: ServiceProcess, scenario_id: str, name: str) -> bool:
    return bool((await service.get(scenario_id))["name"] == name)


async def _end(members: Fleet, name: str) -> None:
    await members.members.pop(name).end()

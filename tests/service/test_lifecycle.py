"""Starting, stopping and deleting as a user does, at awkward moments too."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.service import Json, ServiceProcess, running_for_tests
from tests.support.waiting import until

MARKER = {"type": "marker"}
ALL = {"mode": "all"}


@pytest.fixture(scope="module", params=["memory", "kafka"])
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, clips: Path
) -> Iterator[ServiceProcess]:
    """One process of every role, on each bus. Each test leaves it with nothing to do."""
    settings: Json = {"bus": request.param}
    if request.param == "kafka":
        settings["kafka_bootstrap_servers"] = request.getfixturevalue("kafka")
        settings["kafka_topic_prefix"] = f"lifecycle-{uuid4().hex[:8]}."
    with running_for_tests(tmp_path_factory.mktemp("service"), media_root=clips, **settings) as service:
        yield service


@pytest.fixture
async def service(started: ServiceProcess) -> AsyncIterator[ServiceProcess]:
    async with started.joined() as service:
        yield service


async def post(service: ServiceProcess, scenario_id: str, action: str) -> int:
    return (await service.http.post(f"/scenarios/{scenario_id}/{action}")).status_code


async def stored_some(service: ServiceProcess, scenario_id: str) -> int:
    frames: int = (await service.get(scenario_id))["progress"]["frames_sampled"]
    return frames


async def test_stopped_midway_and_started_again_it_goes_on(service: ServiceProcess) -> None:
    scenario_id = await service.create("minute.mp4", MARKER, sampling=ALL)
    await until(lambda: stored_some(service, scenario_id))
    assert await post(service, scenario_id, "stop") == 200
    assert await post(service, scenario_id, "stop") == 200
    stopped = await service.ends(scenario_id)
    assert stopped["outcome"] == "stopped"
    assert 0 < stopped["progress"]["frames_sampled"] < 1800
    assert await post(service, scenario_id, "start") == 200
    assert await post(service, scenario_id, "start") == 200
    ended = await service.ends(scenario_id)
    assert (ended["outcome"], ended["attempt"]) == ("completed", 2)
    frames = [prediction["frame"] for prediction in await service.predictions(scenario_id)]
    assert frames == list(range(1800))


async def test_it_can_be_stopped_while_it_waits_and_while_it_starts(service: ServiceProcess) -> None:
    busy = [await service.create("minute.mp4", MARKER, sampling=ALL) for _ in range(4)]
    waiting = await service.create("short.mp4", MARKER)
    assert (await service.get(waiting))["state"] == "init_startup"
    assert await post(service, waiting, "stop") == 200
    assert (await service.get(waiting))["outcome"] == "stopped"
    for scenario_id in busy:
        assert await post(service, scenario_id, "stop") == 200
    for scenario_id in busy:
        assert (await service.ends(scenario_id))["outcome"] == "stopped"


async def test_a_stop_as_it_finishes_ends_it_either_way(service: ServiceProcess) -> None:
    for _ in range(5):
        scenario_id = await service.create("short.mp4", MARKER, sampling=ALL)
        await until(lambda: stored_some(service, scenario_id), poll=0.001)  # noqa: B023 - awaited here
        await post(service, scenario_id, "stop")
        scenario = await service.ends(scenario_id)
        stored = len(await service.predictions(scenario_id))
        assert (scenario["outcome"], stored) in [("completed", 90), ("stopped", stored)]
        assert scenario["progress"]["frames_sampled"] == stored


async def test_running_scenarios_are_not_deleted_and_stopping_ones_not_started(
    service: ServiceProcess,
) -> None:
    scenario_id = await service.create("minute.mp4", {"type": "face"}, sampling=ALL)
    await service.reaches(scenario_id, "active")
    refused = await service.http.delete(f"/scenarios/{scenario_id}")
    assert refused.status_code == 409
    assert "stop it" in refused.json()["detail"]
    await post(service, scenario_id, "stop")
    if (await service.get(scenario_id))["state"] != "inactive":
        answer = await post(service, scenario_id, "start")
        assert answer in (409, 200)
        if answer == 200:  # it had ended in between, and was started again
            await post(service, scenario_id, "stop")
    await service.ends(scenario_id)


async def test_a_deleted_scenario_is_gone_with_its_predictions(service: ServiceProcess) -> None:
    scenario_id = await service.create("short.mp4", MARKER, sampling=ALL)
    await service.ends(scenario_id)
    assert (await service.http.delete(f"/scenarios/{scenario_id}")).status_code == 204
    for path in ("", "/predictions", "/history"):
        assert (await service.http.get(f"/scenarios/{scenario_id}{path}")).status_code == 404
    assert await post(service, scenario_id, "start") == 404
    again = {"source": "short.mp4", "detector": MARKER, "id": scenario_id}
    assert (await service.http.post("/scenarios", json=again)).status_code == 409


@pytest.mark.timeout(180)
async def test_twenty_scenarios_share_four_slots(service: ServiceProcess) -> None:
    ids = [await service.create("short.mp4", MARKER, sampling=ALL) for _ in range(20)]
    for scenario_id in ids:
        assert (await service.ends(scenario_id, timeout=90))["outcome"] == "completed"
        assert len(await service.predictions(scenario_id)) == 90
    held: list[tuple[datetime, int]] = []
    for scenario_id in ids:
        history = await service.history(scenario_id)
        held.append((moment(history, "in_startup_processing"), 1))
        held.append((moment(history, "inactive"), -1))
    count = most = 0
    for _, change in sorted(held):
        count += change
        most = max(most, count)
    assert most == 4
    assert [scenario_id for _, scenario_id in sorted(await starts(service, ids))] == ids


async def starts(service: ServiceProcess, ids: list[str]) -> list[tuple[datetime, str]]:
    return [
        (moment(await service.history(scenario_id), "in_startup_processing"), scenario_id)
        for scenario_id in ids
    ]


def moment(history: list[Json], state: str) -> datetime:
    """When a scenario came into a state."""
    (event,) = [event for event in history if event["to"] == state]
    return datetime.fromisoformat(event["at"])


async def test_a_scenario_replaces_another_while_that_runs(service: ServiceProcess) -> None:
    old = await service.create("minute.mp4", MARKER, sampling=ALL, tags=["gate"], name="front door")
    await until(lambda: stored_some(service, old))
    new = await service.create("short.mp4", MARKER, sampling=ALL, replaces=old)
    stopped = await service.ends(old)
    assert (stopped["outcome"], stopped["replaced_by"]) == ("stopped", new)
    assert len(await service.predictions(old)) == stopped["progress"]["frames_sampled"] > 0
    ended = await service.ends(new)
    assert (ended["outcome"], ended["replaces"]) == ("completed", old)
    assert (ended["name"], ended["tags"]) == ("front door", ["gate"])
    answer = await service.http.patch(f"/scenarios/{new}", json={"name": "yard", "tags": None})
    assert (answer.status_code, answer.json()["name"], answer.json()["tags"]) == (200, "yard", [])
    assert await post(service, old, "start") == 409


async def test_what_one_scenario_stored_is_asked_again_with_other_rules(service: ServiceProcess) -> None:
    original = await service.create("short.mp4", MARKER, sampling=ALL)
    await service.ends(original)
    zone = {"name": "all", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    asking = await service.create(f"scenario:{original}", {"type": "stored"}, zones=[zone])
    ended = await service.ends(asking)
    assert (ended["outcome"], ended["error"]) == ("completed", None)
    assert (ended["progress"]["percent"], ended["progress"]["frames_read"]) == (100.0, 90)
    assert await service.predictions(asking) == await service.predictions(original)
    events = (await service.http.get(f"/scenarios/{asking}/events")).json()["items"]
    assert {event["kind"] for event in events} == {"object", "zone"}
    assert {event["state"] for event in events} == {"ended"}
    assert (await service.http.get(f"/scenarios/{original}/events")).json()["items"] == []
    assert (await service.http.delete(f"/scenarios/{original}")).status_code == 204
    assert (await service.http.get(f"/scenarios/{asking}/predictions")).status_code == 410
    assert (await service.http.get(f"/scenarios/{asking}/events")).json()["items"] == events

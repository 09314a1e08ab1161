"""Read, stop, start and delete scenarios."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec.structs import replace

from app.domain.media import Media
from app.domain.spec import ScenarioSpec
from app.postgres import Database
from tests.support.rows import BEGIN, MEDIA, SPEC, add_checkpoint, add_scenario


async def test_progress_is_computed_from_the_checkpoint(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios, media=MEDIA)
    await add_checkpoint(
        predictions,
        scenario_id,
        next_frame=450,
        frames_sampled=30,
        frames_failed=1,
        detections=12,
        position_seconds=15.0,
        frames_per_second=90.0,
    )
    body = (await http.get(f"/scenarios/{scenario_id}")).json()
    assert body["source_state"] == "open"
    assert body["runner_id"] == "local"
    assert body["media"]["frames"] == 1800
    assert body["progress"] == {
        "percent": 25.0,
        "fps": 90.0,
        "eta_seconds": 15.0,
        "position_seconds": 15.0,
        "frames_read": 450,
        "frames_sampled": 30,
        "frames_dropped": 0,
        "frames_failed": 1,
        "detections": 12,
    }


@pytest.mark.parametrize(
    ("row", "media", "percent"),
    [
        ({"state": "active"}, replace(MEDIA, frames=None), 10.0),
        ({"state": "active"}, replace(MEDIA, frames=None, duration_seconds=None), None),
        ({"state": "active"}, replace(MEDIA, live=True), None),
        ({"state": "active"}, replace(MEDIA, frames=100), 100.0),
        ({"state": "inactive", "outcome": "completed"}, replace(MEDIA, frames=None), 100.0),
        ({"state": "inactive", "outcome": "stopped"}, MEDIA, 10.0),
    ],
)
async def test_percent_is_known_if_the_length_is_known(
    http: httpx.AsyncClient,
    scenarios: Database,
    predictions: Database,
    row: dict[str, str],
    media: Media,
    percent: float | None,
) -> None:
    scenario_id = await add_scenario(scenarios, media=media, **row)  # type: ignore[arg-type]
    await add_checkpoint(predictions, scenario_id, next_frame=180, position_seconds=6.0)
    progress = (await http.get(f"/scenarios/{scenario_id}")).json()["progress"]
    assert progress["percent"] == percent


async def test_a_new_attempt_does_not_show_its_predecessors_state(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios, media=MEDIA, attempt=2)
    await add_checkpoint(predictions, scenario_id, next_frame=180, frames_per_second=90.0)
    body = (await http.get(f"/scenarios/{scenario_id}")).json()
    assert body["source_state"] is None
    assert body["progress"]["fps"] is None
    assert body["progress"]["percent"] == 10.0, "what is stored stays stored"


async def test_the_list_is_returned_newest_first_in_pages(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    ids = [str(await add_scenario(scenarios, age=age // 2)) for age in range(7)]  # pairs of the same age
    await add_checkpoint(predictions, UUID(ids[6]), next_frame=7)
    await add_scenario(scenarios, state="inactive", deleted_at=datetime.now(UTC))
    seen: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = (await http.get("/scenarios", params=query)).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert sorted(item["id"] for item in seen) == sorted(ids)
    assert len(seen) == 7
    assert [item["created_at"] for item in seen] == sorted((i["created_at"] for i in seen), reverse=True)
    assert seen[-1]["progress"]["frames_read"] == 7
    assert seen[0]["created_at"] == f"{BEGIN:%Y-%m-%dT%H:%M:%SZ}"


async def test_the_list_can_be_filtered_by_state(http: httpx.AsyncClient, scenarios: Database) -> None:
    active = await add_scenario(scenarios)
    await add_scenario(scenarios, state="inactive")
    page = (await http.get("/scenarios", params={"state": "active"})).json()
    assert [item["id"] for item in page["items"]] == [str(active)]
    assert (await http.get("/scenarios", params={"state": "init_shutdown"})).json()["items"] == []


async def test_stop_start_and_delete_change_the_scenario(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    scenario_id = await add_scenario(scenarios, state="init_startup")
    stopped = await http.post(f"/scenarios/{scenario_id}/stop")
    assert (stopped.status_code, stopped.json()["outcome"]) == (200, "stopped")
    assert (await http.post(f"/scenarios/{scenario_id}/stop")).status_code == 200
    started = await http.post(f"/scenarios/{scenario_id}/start")
    assert (started.status_code, started.json()["state"], started.json()["attempt"]) == (
        200,
        "init_startup",
        2,
    )
    refused = await http.delete(f"/scenarios/{scenario_id}")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")
    assert "stop it" in refused.json()["detail"]
    await http.post(f"/scenarios/{scenario_id}/stop")
    deleted = await http.delete(f"/scenarios/{scenario_id}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await http.get(f"/scenarios/{scenario_id}")).status_code == 404


async def test_starting_while_stopping_is_refused(http: httpx.AsyncClient, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios, state="in_shutdown_processing")
    response = await http.post(f"/scenarios/{scenario_id}/start")
    assert response.status_code == 409
    assert "inactive" in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/stop"),
        ("POST", "/start"),
        ("DELETE", ""),
        ("GET", "/predictions"),
        ("GET", "/history"),
    ],
)
async def test_an_unknown_scenario_is_not_found(http: httpx.AsyncClient, method: str, path: str) -> None:
    scenario_id = uuid4()
    response = await http.request(method, f"/scenarios/{scenario_id}{path}")
    assert response.status_code == 404
    assert str(scenario_id) in response.json()["detail"]


async def test_a_source_that_this_version_does_not_accept_is_not_shown(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    spec: ScenarioSpec = replace(SPEC, source="gopher://admin:hunter2@host/")
    scenario_id = await add_scenario(scenarios, spec=spec)
    assert "hunter2" not in (await http.get(f"/scenarios/{scenario_id}")).text

"""Scenarios that ask what another one stored."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.domain.detector_config import Stored
from app.domain.spec import ScenarioSpec
from app.messages import CreateScenario
from app.postgres import Database
from app.predictions.checkpoint import Footage
from tests.api.conftest import FakeBus
from tests.support.rows import add_checkpoint, add_prediction, add_scenario

BODY = {"source": "clip.mp4", "detector": {"type": "marker"}}
FOOTAGE = {"source": f"scenario:{uuid4()}", "detector": {"type": "stored"}}


async def test_footage_is_asked_again_with_defaults_of_its_own(http: httpx.AsyncClient, bus: FakeBus) -> None:
    asked = (await http.post("/scenarios", json=BODY)).json()["id"]
    body = {"source": f"SCENARIO:{asked.upper()}", "detector": {"type": "stored"}}
    response = await http.post("/scenarios", json=body | {"id": str(uuid4())})
    assert response.status_code == 201, response.text
    created = response.json()
    assert created["source"] == f"scenario:{asked}"
    assert created["sampling"] is None
    assert (created["tracking"], created["presence"]) == (
        {"max_gap_seconds": 2.0, "min_confidence": 0.3},
        None,
    )
    topic, message, _ = bus.published[-1]
    assert topic == "scenario_changes"
    assert isinstance(message, CreateScenario)
    assert message.needs == ("analysis", "detector:stored")
    assert (await http.delete(f"/scenarios/{asked}")).status_code == 409
    await http.post(f"/scenarios/{asked}/stop")
    assert (await http.delete(f"/scenarios/{asked}")).status_code == 204
    repeated = await http.post("/scenarios", json=body | {"id": created["id"]})
    assert (repeated.status_code, repeated.json()["id"]) == (201, created["id"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"detector": {"type": "marker"}}, "detector"),
        ({"source": "clip.mp4"}, "source"),
        ({"source": "scenario:yard"}, "source"),
        ({"sampling": {"mode": "all"}}, "sampling"),
        ({"track": 0}, "track"),
        ({"aspect": "16:9"}, "aspect"),
        ({"notify": {"channels": ["ops"]}}, "notify"),
        ({"restart": {"policy": "always"}}, "restart.policy"),
        ({"tracking": None, "presence": None}, "tracking"),
    ],
)
async def test_what_makes_no_sense_for_stored_footage_is_refused(
    http: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    response = await http.post("/scenarios", json=FOOTAGE | change)
    assert (response.status_code, response.json()["field"]) == (422, field)


async def test_sampling_may_not_be_null_for_a_video(http: httpx.AsyncClient) -> None:
    response = await http.post("/scenarios", json=BODY | {"sampling": None})
    assert (response.status_code, response.json()["field"]) == (422, "sampling")


async def test_footage_that_cannot_be_asked_is_named(http: httpx.AsyncClient) -> None:
    response = await http.post("/scenarios", json=FOOTAGE)
    assert (response.status_code, response.json()["field"]) == (404, "source")
    assert "no scenario with the id in `source`" in response.json()["detail"]
    original = (await http.post("/scenarios", json=BODY)).json()["id"]
    asking = (await http.post("/scenarios", json=FOOTAGE | {"source": f"scenario:{original}"})).json()["id"]
    response = await http.post("/scenarios", json=FOOTAGE | {"source": f"scenario:{asking}"})
    assert response.status_code == 409
    assert original in response.json()["detail"]
    await http.post(f"/scenarios/{original}/stop")
    await http.delete(f"/scenarios/{original}")
    response = await http.post("/scenarios", json=FOOTAGE | {"source": f"scenario:{original}"})
    assert (response.status_code, response.json()["field"]) == (404, "source")
    assert "was deleted" in response.json()["detail"]


async def frames(http: httpx.AsyncClient, scenario_id: UUID, **query: Any) -> list[int]:
    """Return the frames of all pages."""
    seen: list[int] = []
    while True:
        response = await http.get(f"/scenarios/{scenario_id}/predictions", params=query)
        assert response.status_code == 200, response.text
        page = response.json()
        seen += [item["frame"] for item in page["items"]]
        if page["next_cursor"] is None:
            return seen
        query["cursor"] = page["next_cursor"]


async def test_those_of_a_scenario_that_asks_another_are_the_pinned_ones_of_that(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    for frame in range(10):
        found = [("dog", 0.9)] if frame % 3 == 0 else []
        await add_prediction(predictions, scenario_id, frame, *found)
    spec = ScenarioSpec(f"scenario:{scenario_id}", Stored(), None)
    asking = await add_scenario(scenarios, spec=spec, state="inactive")
    assert await frames(http, asking) == []
    footage = Footage(scenario_id, 2, 8, 0.2, is_live=True)
    await add_checkpoint(predictions, asking, footage=footage, next_frame=5, frames_sampled=3)
    assert await frames(http, asking, limit=2) == [2, 3, 4, 5, 6, 7]
    assert await frames(http, asking, label="dog", to_time="1970-01-01T00:00:00.15Z") == [3]
    assert await frames(http, asking, from_frame=0, to_frame=4) == [2, 3]
    response = await http.get(f"/scenarios/{asking}/events", params={"from_time": "1970-01-01T00:00:00Z"})
    assert response.status_code == 200
    assert (await http.get(f"/scenarios/{asking}")).json()["progress"]["frames_read"] == 3
    async with scenarios.connection() as connection:
        await connection.execute(
            "UPDATE scenarios SET state = 'inactive', outcome = 'stopped', runner_id = NULL, boot_id = NULL,"
            " lease_renewed_at = NULL, deleted_at = now() WHERE id = $1",
            scenario_id,
        )
    response = await http.get(f"/scenarios/{asking}/predictions")
    assert response.status_code == 410
    assert "was deleted" in response.json()["detail"]

"""Why a scenario does not go on, and what its user should know: `reason` and `warnings`."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.api.http.middleware import RequestMiddleware
from app.domain.analysis import Tracking
from app.domain.detector_config import Objects
from app.domain.sampling import FixedRate
from app.domain.spec import ScenarioSpec
from app.orchestrator.elector import lead
from app.postgres import Database
from app.scenarios.leadership import LOCK
from tests.api.conftest import listening
from tests.support.rows import MEDIA, add_checkpoint, add_scenario

LOST_AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


async def add_runner(scenarios: Database, name: str, slots: int, features: list[str] | None = None) -> UUID:
    boot_id = uuid4()
    async with scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO runners (runner_id, boot_id, slots, features) VALUES ($1, $2, $3, $4)",
            name,
            boot_id,
            slots,
            features,
        )
    return boot_id


async def get(http: httpx.AsyncClient, scenario_id: UUID) -> dict[str, Any]:
    body: dict[str, Any] = (await http.get(f"/scenarios/{scenario_id}")).json()
    listed = (await http.get("/scenarios")).json()["items"]
    assert body in listed
    return body


async def test_a_scenario_that_goes_on_has_neither(http: httpx.AsyncClient, scenarios: Database) -> None:
    body = await get(http, await add_scenario(scenarios, media=MEDIA))
    assert (body["reason"], body["warnings"]) == (None, [])


async def test_without_a_runner_it_says_so(http: httpx.AsyncClient, scenarios: Database) -> None:
    body = await get(http, await add_scenario(scenarios, state="init_startup"))
    assert body["reason"]["code"] == "no_runner"
    assert body["reason"]["since"] == body["updated_at"]


async def test_with_all_slots_in_use_it_says_how_many(http: httpx.AsyncClient, scenarios: Database) -> None:
    boot_id = await add_runner(scenarios, "local", 1)
    waiting = await add_scenario(scenarios, state="init_startup")
    assert (await get(http, waiting))["reason"] is None  # it is about to be dispatched
    await add_scenario(scenarios, boot_id=boot_id)
    reason = (await get(http, waiting))["reason"]
    assert reason["code"] == "no_slot"
    assert reason["text"].startswith("1 of 1 slots are in use")


async def test_reasons_and_warnings_are_in_the_stream_and_the_metrics(
    app: RequestMiddleware, http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    waiting = await add_scenario(scenarios, state="init_startup")
    rare = ScenarioSpec("rtsp://camera/live", Objects(), FixedRate(0.1), tracking=Tracking())
    lost = await add_scenario(scenarios, state="active", spec=rare)
    await add_checkpoint(
        predictions,
        lost,
        source_state="reconnecting",
        source_loss={"error": "connection refused", "tries": 3},
        source_lost_at=LOST_AT,
        warnings=[{"code": "ends_early", "text": "It ends early.", "frame": 7}],
    )
    metrics = (await http.get("/metrics")).text
    assert 'videoanalysis_scenarios_held_up{reason="no_runner"} 1.0' in metrics
    assert 'videoanalysis_scenarios_held_up{reason="reconnecting"} 1.0' in metrics
    assert 'videoanalysis_scenarios_held_up{reason="no_slot"} 0.0' in metrics
    async with listening(app) as url, httpx.AsyncClient() as client:
        text = (await client.get(f"{url}/stream", params={"seconds": 3})).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith('data: {"scenario_id"')]
    found = {event["scenario_id"]: event for event in events}
    assert set(found) == {str(waiting), str(lost)}
    for scenario_id in (waiting, lost):
        scenario = (await http.get(f"/scenarios/{scenario_id}")).json()
        for name in ("reason", "warnings", "progress", "source_state"):
            assert found[str(scenario_id)][name] == scenario[name]
    assert found[str(lost)]["reason"]["code"] == "reconnecting"
    assert [each["code"] for each in found[str(lost)]["warnings"]] == ["sampled_rarely", "ends_early"]


async def test_if_no_runner_has_a_feature_it_says_which(http: httpx.AsyncClient, scenarios: Database) -> None:
    await add_runner(scenarios, "old", 4)
    waiting = await add_scenario(scenarios, state="init_startup", needs=["detector:marker", "zones"])
    reason = (await get(http, waiting))["reason"]
    assert reason["code"] == "no_feature"
    assert "(zones)" in reason["text"]
    await add_runner(scenarios, "new", 4, ["detector:marker", "zones"])
    assert (await get(http, waiting))["reason"] is None


async def test_if_the_leader_cannot_read_a_scenario_that_waits_it_says_so(
    http: httpx.AsyncClient, scenarios: Database, scenarios_dsn: str
) -> None:
    """A leader of release 0.1.0 holds the lock over a connection without a name."""
    await add_runner(scenarios, "new", 4, ["detector:marker", "analysis"])
    plain = await add_scenario(scenarios, state="init_startup")
    old = await asyncpg.connect(scenarios_dsn)
    await old.execute("SELECT pg_advisory_lock($1)", LOCK)
    assert (await get(http, plain))["reason"] is None  # it is given out
    newer = await add_scenario(scenarios, state="init_startup", needs=["detector:marker", "analysis"])
    for scenario_id in (plain, newer):
        reason = (await get(http, scenario_id))["reason"]
        assert reason["code"] == "old_orchestrator"
    await old.close()
    async with lead(scenarios_dsn, lambda: None, silence=10):
        assert (await get(http, newer))["reason"] is None


async def test_a_runner_that_left_or_is_silent_is_none(http: httpx.AsyncClient, scenarios: Database) -> None:
    await add_runner(scenarios, "left", 4)
    await add_runner(scenarios, "silent", 4)
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE runners SET left_at = now() WHERE runner_id = 'left'")
        await connection.execute(
            "UPDATE runners SET heartbeat_at = now() - interval '1 minute' WHERE runner_id = 'silent'"
        )
    body = await get(http, await add_scenario(scenarios, state="init_startup"))
    assert body["reason"]["code"] == "no_runner"


async def test_an_attempt_that_is_retried_is_a_reason_and_no_error(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    waiting = await add_scenario(
        scenarios,
        state="init_startup",
        error="the camera refuses the connection",
        failures=3,
        not_before=datetime(2100, 1, 1, tzinfo=UTC),
    )
    body = await get(http, waiting)
    assert body["error"] is None
    assert body["reason"] == {
        "code": "retrying",
        "text": "the camera refuses the connection",
        "since": body["updated_at"],
        "count": 3,
        "last_frame_at": None,
    }


@pytest.mark.parametrize("next_frame", [0, 500])
async def test_a_lost_camera_says_why_since_when_and_when_it_was_last_seen(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, next_frame: int
) -> None:
    camera = await add_scenario(scenarios)
    await add_checkpoint(
        predictions,
        camera,
        source_state="reconnecting",
        source_loss={"error": "the camera refuses the password (401)", "tries": 7},
        source_lost_at=LOST_AT,
        next_frame=next_frame,
        position_seconds=LOST_AT.timestamp() - 1,
    )
    assert (await get(http, camera))["reason"] == {
        "code": "reconnecting",
        "text": "the camera refuses the password (401)",
        "since": "2026-01-31T09:30:00Z",
        "count": 7,
        "last_frame_at": "2026-01-31T09:29:59Z" if next_frame else None,
    }


async def test_a_camera_that_is_back_has_no_reason(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    camera = await add_scenario(scenarios)
    loss = {"error": "gone", "tries": 7}
    await add_checkpoint(predictions, camera, source_loss=loss, source_lost_at=LOST_AT)
    assert (await get(http, camera))["reason"] is None


async def test_what_changed_under_the_results_is_a_warning(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    ended = await add_scenario(scenarios, state="inactive")
    found = {"code": "file_changed", "text": "The file was changed while it was read.", "frame": 7}
    pin_change = {"frame": 90, "text": "rules changed from 1 to 2"}
    await add_checkpoint(predictions, ended, pin_changes=[pin_change], warnings=[found])
    assert (await get(http, ended))["warnings"] == [
        {"code": "pins_changed", "text": "Rules changed from 1 to 2.", "frame": 90},
        found,
    ]


async def test_a_scenario_of_a_newer_version_is_shown_as_it_is(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    newer = {"source": "clip.mp4", "detector": {"type": "of tomorrow", "x": [1]}, "zones": [], "name": "yard"}
    async with scenarios.connection() as connection:
        scenario_id = await add_scenario(scenarios, state="init_startup", needs=["detector:of tomorrow"])
        await connection.execute("UPDATE scenarios SET spec = $1 WHERE id = $2", newer, scenario_id)
    body = await get(http, scenario_id)
    assert (body["source"], body["name"]) == ("clip.mp4", "yard")
    assert body["detector"] == {"type": "of tomorrow", "x": [1]}


async def test_a_detector_whose_server_is_away_says_what_it_waits_for(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    waiting = await add_scenario(scenarios, media=MEDIA)
    wait = {"text": "The inference server at http://gpu cannot be reached.", "tries": 4}
    await add_checkpoint(predictions, waiting, detector_wait=wait, detector_waits_since=LOST_AT)
    reason = (await get(http, waiting))["reason"]
    assert reason == {
        "code": "no_inference_server",
        "text": wait["text"],
        "since": "2026-01-31T09:30:00Z",
        "count": 4,
        "last_frame_at": None,
    }
    stopped = await add_scenario(scenarios, state="inactive", outcome="stopped")
    await add_checkpoint(predictions, stopped, detector_wait=wait, detector_waits_since=LOST_AT)
    assert (await get(http, stopped))["reason"] is None

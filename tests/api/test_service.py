"""Runners, detectors, health and metrics."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
from anyio import Event, fail_after
from msgspec import defstruct
from prometheus_client.parser import text_string_to_metric_families

from app.api import ApiDeps, ApiOptions, create_app
from app.api.routes.detectors import _describe
from app.domain.detector_config import DetectorConfig
from app.postgres import Database, open_database
from tests.api.conftest import Start, connected
from tests.support.rows import add_scenario


async def add_runner(scenarios: Database, name: str, age: float = 0, **columns: Any) -> UUID:
    boot_id = uuid4()
    async with scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO runners"
            " (runner_id, boot_id, slots, heartbeat_at, left_at, superseded, backend, precision)"
            " VALUES ($1, $2, 4, now() - make_interval(secs => $3), $4, $5, $6, $7)",
            name,
            boot_id,
            age,
            columns.get("left_at"),
            columns.get("superseded", False),
            columns.get("backend"),
            columns.get("precision"),
        )
    return boot_id


async def test_runners_are_returned_with_state_and_scenarios(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    boot_id = await add_runner(scenarios, "a-busy", backend="openvino:CPU", precision="bf16")
    held = [await add_scenario(scenarios, runner_id="a-busy", boot_id=boot_id) for _ in range(2)]
    await add_runner(scenarios, "b-frozen", age=60)
    await add_runner(scenarios, "c-leaving", left_at=datetime.now(UTC))
    await add_runner(scenarios, "d-gone", age=7200)
    await add_runner(scenarios, "e-old", superseded=True)
    items = (await http.get("/runners")).json()["items"]
    assert [(i["runner_id"], i["state"], i["held"]) for i in items] == [
        ("a-busy", "alive", 2),
        ("b-frozen", "silent", 0),
        ("c-leaving", "left", 0),
    ]
    assert items[0]["scenario_ids"] == sorted(map(str, held))
    assert items[0]["boot_id"] == str(boot_id)
    assert items[0]["slots"] == 4
    assert (items[0]["backend"], items[0]["precision"]) == ("openvino:CPU", "bf16")
    assert items[1]["backend"] is None
    assert 60 <= items[1]["heartbeat_age_seconds"] < 70


async def test_each_detector_has_a_schema_and_an_example(http: httpx.AsyncClient) -> None:
    items = (await http.get("/detectors")).json()["items"]
    assert {"motion", "people", "face", "marker", "onnx", "mock"} <= {item["name"] for item in items}
    for item in items:
        assert item["description"]
        assert item["labels"]
        assert item["config_schema"]["properties"]["type"] == {"enum": [item["name"]]}
        assert msgspec.convert(item["example"], DetectorConfig)
        created = await http.post("/scenarios", json={"source": "clip.mp4", "detector": item["example"]})
        if item["name"] == "stored":  # which goes with another source
            assert "scenario:<id>" in created.json()["detail"]
        else:
            assert created.status_code == 201, item["name"]


async def test_a_process_is_alive_before_it_is_ready() -> None:
    async with connected(create_app(ApiOptions(version="1"))) as http:
        assert (await http.get("/health/live")).status_code == 200
        ready = await http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json() == {"ready": False, "waiting_for": ["its databases and its bus to open"]}


async def test_a_process_with_its_resources_is_ready(http: httpx.AsyncClient) -> None:
    ready = await http.get("/health/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "waiting_for": []})


async def test_a_process_is_not_ready_while_it_waits_or_stops(start: Start) -> None:
    stopping = Event()
    reasons = ["the schema of the scenarios database", None, None]
    async with (
        start(waiting_for=lambda: reasons.pop(0), shutting_down=stopping) as app,
        connected(app) as http,
    ):
        waiting = await http.get("/health/ready")
        assert waiting.json()["waiting_for"] == ["the schema of the scenarios database"]
        assert (await http.get("/health/ready")).status_code == 200
        stopping.set()
        assert (await http.get("/health/ready")).status_code == 503
        assert (await http.get("/health/live")).status_code == 200


async def test_a_process_whose_database_is_silent_is_not_ready(
    start: Start, deps: ApiDeps, silent: str
) -> None:
    async with (
        open_database(silent, acquire_timeout=120) as away,
        start(ApiDeps(deps.scenarios, away, deps.bus)) as app,
        connected(app) as http,
    ):
        with fail_after(60):
            ready = await http.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["waiting_for"] == ["the predictions database does not answer"]
        system = await http.get("/system")
        assert system.status_code == 200
        answering, silent_one = system.json()["databases"]
        assert answering["answers"]
        assert answering["bytes"] > 2**20
        assert answering["postgres_version"][:2].isdigit()
        assert silent_one == {
            "name": "predictions", "answers": False, "postgres_version": None, "bytes": None
        }  # fmt: skip


async def test_metrics_count_requests_and_scenarios(http: httpx.AsyncClient, scenarios: Database) -> None:
    for _ in range(3):
        await add_scenario(scenarios)
    await add_scenario(scenarios, state="inactive")
    before = await samples(http)
    await http.get(f"/scenarios/{uuid4()}")
    after = await samples(http)
    labels = (("method", "GET"), ("route", "/scenarios/{scenario_id}"), ("status", "404"))
    name = "videoanalysis_http_requests_total"
    assert after[name, labels] == before.get((name, labels), 0) + 1
    assert after["videoanalysis_scenarios", (("state", "active"),)] == 3
    assert after["videoanalysis_scenarios", (("state", "inactive"),)] == 1
    assert after["videoanalysis_scenarios", (("state", "init_startup"),)] == 0


async def test_unknown_methods_share_one_metric_label(http: httpx.AsyncClient) -> None:
    """Metrics keep each label for ever."""
    for name in ("INVENTED", "MADE-UP"):
        assert (await http.request(name, "/scenarios")).status_code == 405
    methods = {dict(labels).get("method") for _, labels in await samples(http)}
    assert "other" in methods
    assert not methods & {"INVENTED", "MADE-UP"}


async def test_metrics_are_returned_without_a_database(start: Start, deps: ApiDeps, silent: str) -> None:
    async with (
        open_database(silent, acquire_timeout=120) as away,
        start(ApiDeps(away, away, deps.bus)) as app,
        connected(app) as http,
    ):
        with fail_after(60):
            told = await samples(http)
        assert not any(name == "videoanalysis_scenarios" for name, _ in told)


async def test_a_process_of_other_roles_has_health_and_metrics_only() -> None:
    app = create_app(ApiOptions(version="1"), has_resources=False)
    async with connected(app) as http:
        assert (await http.get("/health/ready")).status_code == 200
        assert (await http.get("/metrics")).status_code == 200
        assert (await http.get("/scenarios")).status_code == 404


async def samples(http: httpx.AsyncClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = await http.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_a_plugin_may_have_two_types_of_one_name() -> None:
    """Their schemas get longer names then."""
    inner = defstruct("Config", [("level", int, 3)], namespace={"__module__": "another"}, frozen=True)
    config = defstruct(
        "Config",
        [("inner", inner, inner())],
        namespace={"__doc__": "Things. Label: `thing`."},
        frozen=True,
        tag_field="type",
        tag="things",
    )
    described = _describe(config)
    assert described.config_schema["properties"]["type"] == {"enum": ["things"]}
    assert described.example == {"type": "things", "inner": {"level": 3}}

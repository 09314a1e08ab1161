"""Batches over HTTP. The orchestrator's handler is real; what its leader does is done here by hand."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.api.queries.batches import MAX_LISTED
from app.api.routes import batch_results
from app.api.routes import batches as routes
from app.domain.detector_config import Marker
from app.domain.media import Media
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import CreateScenario
from app.orchestrator.handlers import handle_command
from app.postgres import Database
from tests.api.conftest import Start, connected
from tests.api.event_reader import EventReader, reading
from tests.support.batches import batch as stored_batch
from tests.support.checkpoints import claim, new_fence, write

BODY: dict[str, Any] = {"sources": "yard/**/*.mp4", "scenario": {"detector": {"type": "marker"}}}


@pytest.fixture
async def http(start: Start, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an api that waits for each command, however busy the machine is."""
    monkeypatch.setattr(routes, "_ANSWER_TIMEOUT", 60.0)
    async with start(channels={"ops": "webhook"}, command_wait=60.0) as app, connected(app) as client:
        yield client


async def create(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await http.post("/batches", json=BODY | fields)
    assert answer.status_code == 201, answer.text
    batch: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/batches/{batch['id']}"
    return batch


async def add_file(scenarios: Database, batch: str, path: str, state: str, note: str | None = None) -> None:
    async with scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO batch_files (batch_id, path, size, modified, state, note)"
            " VALUES ($1, $2, 1, 1, $3, $4)",
            UUID(batch),
            path,
            state,
            note,
        )


async def add_scenario(
    scenarios: Database,
    batch: str,
    state: str = "inactive",
    outcome: str | None = None,
    *,
    error: str | None = None,
    next_frame: int = 0,
    media: Media | None = None,
) -> UUID:
    """A scenario of the batch in this state."""
    scenario_id = uuid4()
    command = CreateScenario(uuid4(), scenario_id, encode_spec(ScenarioSpec(f"{scenario_id}.mp4", Marker())))
    await handle_command(scenarios, command)
    async with scenarios.connection() as connection:
        await connection.execute(
            """
            UPDATE scenarios
               SET batch_id = $2, state = $3, outcome = $4, error = $5, next_frame = $6, media = $7,
                   runner_id = CASE WHEN $8 THEN 'r' END, lease_renewed_at = CASE WHEN $8 THEN now() END,
                   boot_id = CASE WHEN $8 THEN gen_random_uuid() END
             WHERE id = $1
            """,
            scenario_id,
            UUID(batch),
            state,
            outcome,
            error,
            next_frame,
            media,
            state not in ("inactive", "init_startup"),
        )
        await connection.execute(
            "INSERT INTO batch_files (batch_id, path, size, modified, state, scenario_id)"
            " VALUES ($1, $2, 1, 1, 'taken', $3)",
            UUID(batch),
            f"{scenario_id}.mp4",
            scenario_id,
        )
    return scenario_id


async def test_a_batch_is_created_once(http: httpx.AsyncClient) -> None:
    fields = {"name": "yard", "tags": ["a", "a"], "watch": True, "at_once": 2, "id": str(uuid4())}
    batch = await create(http, **fields)
    assert batch | {"id": fields["id"], "tags": ["a"], "state": "running", "percent": None} == batch
    assert batch["counts"]["files"] == 0
    assert batch["scenario"]["detector"]["type"] == "marker"
    assert "source" not in batch["scenario"]
    assert (await create(http, **fields))["created_at"] == batch["created_at"]
    other = await http.post("/batches", json=BODY | fields | {"sources": "*.mp4"})
    assert (other.status_code, other.json()["type"]) == (422, "/problems/mismatch")
    keyed = [await http.post("/batches", json=BODY, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert keyed[0].json()["id"] == keyed[1].json()["id"]
    assert (await http.get(f"/batches/{batch['id']}")).json() == batch
    missing = await http.get(f"/batches/{uuid4()}")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize(
    ("fields", "field", "detail"),
    [
        ({"sources": "/etc/*"}, "sources", "The pattern is absolute: give it relative to the media root."),
        ({"scenario": {"detector": {"type": "dogs"}}}, "scenario.detector", "GET /detectors lists all"),
        (
            {"scenario": {"detector": {"type": "marker"}, "source": "a.mp4"}},
            "scenario.source",
            "is not known",
        ),
        ({"scenario": {"detector": {"type": "stored"}}}, "scenario.detector", "A batch analyses files."),
        (
            {"scenario": {"detector": {"type": "marker"}, "restart": {"policy": "always"}}},
            "scenario.restart.policy",
            "Use `on_failure` for a recording.",
        ),
        (
            {
                "scenario": {
                    "detector": {"type": "objects"},
                    "notify": {"channels": ["opps"], "on": ["object"]},
                }
            },
            "scenario.notify.channels",
            "There is no channel 'opps'. The channels are: 'ops'.",
        ),
        ({"recorded_at": "%Y%m%d"}, "timezone", "need a time zone"),
        ({"recorded_at": "cam1", "timezone": "UTC"}, "recorded_at", "must tell year, month and day"),
        ({"recorded_at": "%Y%m%d", "timezone": "Mars"}, "timezone", "There is no time zone 'Mars'"),
        ({"timezone": "UTC"}, "timezone", "has no effect"),
        ({"at_once": 0}, "at_once", "must be a whole number at least 1"),
        ({"tags": [" a"]}, "tags[0]", "without spaces around it"),
    ],
)
async def test_what_cannot_work_is_refused_at_once(
    http: httpx.AsyncClient, fields: dict[str, Any], field: str, detail: str
) -> None:
    answer = await http.post("/batches", json=BODY | fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"].startswith(field)
    assert detail in answer.json()["detail"]


async def test_progress_failures_and_warnings_are_shown(http: httpx.AsyncClient, scenarios: Database) -> None:
    batch = (await create(http))["id"]
    await add_file(scenarios, batch, "growing.mp4", "growing")
    await add_file(scenarios, batch, "ready.mp4", "ready")
    await add_file(scenarios, batch, "gone.mp4", "gone")
    await add_file(scenarios, batch, "a\\b.mp4", "refused", "The path contains a backslash.")
    failed = await add_scenario(scenarios, batch, outcome="failed", error="it is damaged")
    await add_scenario(scenarios, batch, outcome="completed")
    await add_scenario(scenarios, batch, outcome="stopped")
    await add_scenario(scenarios, batch, "init_startup")
    half = Media(width=2, height=2, frames=100)
    running = await add_scenario(scenarios, batch, "active", next_frame=50, media=half)
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE batch_files SET note = 'no date' WHERE scenario_id = $1", running)
    again = await add_scenario(scenarios, batch, outcome="stopped")
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE batch_files SET state = 'ready' WHERE scenario_id = $1", again)
    shown = (await http.get(f"/batches/{batch}")).json()
    assert shown["counts"] == {
        "files": 10, "growing": 1, "waiting": 3, "running": 1, "completed": 1, "stopped": 1, "failed": 3,
    }  # fmt: skip
    assert shown["percent"] == round(100 * 4.5 / 10, 1)
    assert shown["warnings"] == [{"path": f"{running}.mp4", "scenario_id": str(running), "text": "no date"}]
    reasons = {each["path"]: (each["scenario_id"], each["text"]) for each in shown["failures"]}
    assert reasons == {
        "gone.mp4": (None, "The file was removed before it was analysed."),
        "a\\b.mp4": (None, "The path contains a backslash."),
        f"{failed}.mp4": (str(failed), "it is damaged"),
    }
    listed = (await http.get(shown["failed_scenarios"])).json()["items"]
    assert [(each["id"], each["batch"]) for each in listed] == [(str(failed), batch)]
    for number in range(MAX_LISTED):
        await add_file(scenarios, batch, f"{number}.mp4", "gone")
    assert len((await http.get(f"/batches/{batch}")).json()["failures"]) == MAX_LISTED
    (item,) = (await http.get("/batches")).json()["items"]
    assert item["counts"]["failed"] == 3 + MAX_LISTED
    assert "failures" not in item


async def test_a_batch_whose_files_nobody_looks_for_says_so(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    batch = (await create(http))["id"]
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE batches SET created_at = now() - interval '2 minutes'")
    assert "No orchestrator has looked" in (await http.get(f"/batches/{batch}")).json()["problem"]


async def test_batches_are_listed_in_pages_and_by_filters(http: httpx.AsyncClient) -> None:
    made = [(await create(http, name=f"n{n % 2}", tags=[f"t{n % 3}"]))["id"] for n in range(5)]
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            await http.get("/batches", params={"limit": "2"} | ({"cursor": cursor} if cursor else {}))
        ).json()
        found += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert found == made[::-1]
    named = (await http.get("/batches?name=n1&state=running")).json()["items"]
    assert [each["id"] for each in named] == [made[3], made[1]]
    tagged = (await http.get("/batches?tag=t0")).json()["items"]
    assert [each["id"] for each in tagged] == [made[3], made[0]]
    assert (await http.get("/batches?state=done")).json()["items"] == []
    other = await http.get(
        f"/batches?tag=t1&cursor={(await http.get('/batches?limit=1')).json()['next_cursor']}"
    )
    assert other.json()["type"] == "/problems/bad-cursor"


async def test_a_batch_is_changed_stopped_started_and_deleted(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    batch = (await create(http, name="yard", watch=True))["id"]
    changed = await http.patch(f"/batches/{batch}", json={"watch": False, "at_once": 9, "tags": ["b"]})
    expected = {"name": "yard", "watch": False, "at_once": 9, "tags": ["b"]}
    assert changed.json() | expected == changed.json()
    unnamed = await http.patch(f"/batches/{batch}", json={"name": None, "tags": None})
    assert (unnamed.json()["name"], unnamed.json()["tags"]) == ("", [])
    wrong = await http.patch(f"/batches/{batch}", json={"sources": "*"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "sources")
    refused = await http.delete(f"/batches/{batch}")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conflict")
    assert refused.json()["detail"].startswith("It is not stopped")
    assert (await http.post(f"/batches/{batch}/stop")).json()["state"] == "stopping"
    assert (await http.post(f"/batches/{batch}/start")).status_code == 409
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE batches SET state = 'stopped'")
    assert (await http.post(f"/batches/{batch}/start?failed=true")).json()["state"] == "running"
    deleted = await http.delete(f"/batches/{batch}?stop=true")
    assert (deleted.status_code, deleted.json()["id"]) == (202, batch)
    assert (await http.get(f"/batches/{batch}")).json()["state"] == "deleting"
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE batches SET deleted_at = now()")
    again = await http.post("/batches", json=BODY | {"name": "yard", "watch": True, "id": batch})
    assert (again.status_code, again.json()["type"]) == (409, "/problems/conflict")
    for method, path in (("POST", "stop"), ("POST", "start"), ("DELETE", "")):
        missing = await http.request(method, f"/batches/{uuid4()}/{path}".rstrip("/"))
        assert missing.status_code == 404, path


async def test_a_command_that_nobody_handles_is_accepted(start: Start, bus: Any) -> None:
    async def ignore(_message: object) -> None: ...

    bus.handle = ignore
    async with start() as app, connected(app) as http:
        answer = await http.post("/batches", json=BODY)
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/batches/{answer.json()['id']}"
    assert [topic for topic, *_ in bus.published] == ["scenario_changes"]


async def test_predictions_of_a_batch_are_read_page_by_page(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, other = [(await create(http))["id"] for _ in range(2)]
    expected = []
    for count in (3, 0, 4):
        scenario = await add_scenario(scenarios, batch, outcome="completed")
        fence = new_fence(1, scenario)
        await claim(predictions, fence)
        await write(predictions, fence, stored_batch(0, count, is_finished=True))
        expected += [(str(scenario), frame) for frame in range(count)]
    await add_scenario(scenarios, other, outcome="completed")

    async def read(**filters: str) -> list[tuple[str, int]]:
        found = []
        params = {"batch": batch} | filters
        while True:
            page = (await http.get("/predictions", params=params)).json()
            for item in page["items"]:
                found += [(item["scenario_id"], each["frame"]) for each in item["predictions"]]
            if page["next_cursor"] is None:
                return found
            params["cursor"] = page["next_cursor"]

    for limit in (1, 3, 100):
        assert await read(limit=str(limit)) == expected
    assert await read(label="aruco:0", min_confidence="0.5") == expected
    monkeypatch.setattr(batch_results, "MOST_SCENARIOS", 1)
    assert await read() == expected
    assert await read(label="nothing") == []
    monkeypatch.setattr(batch_results, "MAX_PAGE", 1)
    assert await read() == expected
    assert (await http.get(f"/predictions?batch={uuid4()}")).status_code == 404
    missing = await http.get("/predictions")
    assert (missing.status_code, missing.json()["field"]) == (400, "batch")
    assert (await http.get(f"/predictions?batch={other}")).json() == {"items": [], "next_cursor": None}


async def test_streams_tell_how_far_batches_are_and_that_they_end(
    http: httpx.AsyncClient, url: str, scenarios: Database
) -> None:
    batch = await create(http)
    path = f"/batches/{batch['id']}"

    async def told(reader: EventReader, **wanted: object) -> dict[str, Any]:
        while True:
            news = await reader.next("batch")
            assert news["batch_id"] == batch["id"]
            if {name: news[name] for name in wanted} == wanted:
                return news

    async with reading(url) as reader:
        before = reader.last_id
        news = await told(reader, state="running", deleted=False)
        assert news["counts"] == batch["counts"]
        assert reader.last_id == before, "it has no id"
        await add_file(scenarios, batch["id"], "a.mp4", "growing")
        await add_scenario(scenarios, batch["id"], outcome="completed")
        shown = (await http.get(path)).json()
        assert (shown["counts"]["files"], shown["percent"]) == (2, 50.0)
        news = await told(reader, counts=shown["counts"], percent=50.0)
        async with reading(url) as later:
            await told(later, counts=shown["counts"])  # which has missed the change
        async with scenarios.connection() as connection:
            await connection.execute("UPDATE batches SET state = 'done', updated_at = now()")
        await told(reader, state="done")
        async with scenarios.connection() as connection:
            await connection.execute("UPDATE batches SET deleted_at = now(), updated_at = now()")
        await told(reader, deleted=True)

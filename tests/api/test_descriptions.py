"""Names, tags and successions over HTTP."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec.structs import replace

from app.api.queries.filters import ScenarioFilter, count_scenarios
from app.api.queries.scenarios import list_scenarios, list_succession
from app.domain.media import Media
from app.domain.states import State
from app.postgres import Database
from tests.api.conftest import FakeBus
from tests.support.rows import SPEC, add_scenario

BODY = {"source": "clip.mp4", "detector": {"type": "marker"}, "name": "front door"}


async def created(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await http.post("/scenarios", json=BODY | fields)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def listed(http: httpx.AsyncClient, **query: Any) -> list[str]:
    """Return the ids on all pages of two scenarios."""
    ids: list[str] = []
    query["limit"] = 2
    while True:
        response = await http.get("/scenarios", params=query)
        assert response.status_code == 200, response.text
        page = response.json()
        ids += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            return ids
        query["cursor"] = page["next_cursor"]


async def test_tags_are_kept_in_their_order_each_once(http: httpx.AsyncClient) -> None:
    scenario = await created(http, tags=["night", "gate 2", "night", "ü"])
    assert scenario["tags"] == ["night", "gate 2", "ü"]
    assert (await http.get(f"/scenarios/{scenario['id']}")).json()["tags"] == ["night", "gate 2", "ü"]
    assert (await created(http))["tags"] == []


@pytest.mark.parametrize("tag", ["", " gate", "gate ", "a\nb", "gate\n", "\x7f", "x" * 65, 5, None])
async def test_a_tag_is_one_short_line(http: httpx.AsyncClient, bus: FakeBus, tag: object) -> None:
    for response in (
        await http.post("/scenarios", json=BODY | {"tags": [tag]}),
        await http.patch(f"/scenarios/{uuid4()}", json={"tags": [tag]}),
    ):
        assert (response.status_code, response.json()["field"]) == (422, "tags[0]")
    assert bus.published == []


async def test_there_are_at_most_32_tags(http: httpx.AsyncClient) -> None:
    assert (await http.post("/scenarios", json=BODY | {"tags": list("x" * 33)})).status_code == 422
    assert len((await created(http, tags=[f"{n}" for n in range(32)]))["tags"]) == 32


async def test_a_scenario_is_found_by_its_tag_and_its_present_name(http: httpx.AsyncClient) -> None:
    ids = [(await created(http, tags=["gate", f"{n}"]))["id"] for n in range(5)]
    await created(http, tags=["gates"])
    renamed = ids[0]
    await http.patch(f"/scenarios/{renamed}", json={"name": "yard"})
    assert await listed(http, tag="gate") == ids[::-1]
    assert await listed(http, tag="3") == [ids[3]]
    assert await listed(http, tag="gat") == []
    assert await listed(http, name="yard") == [renamed]
    assert len(await listed(http, name="front door")) == 5
    await http.post(f"/scenarios/{ids[4]}/stop")
    assert await listed(http, tag="gate", state="inactive", name="front door") == [ids[4]]
    await http.delete(f"/scenarios/{ids[4]}")
    assert await listed(http, tag="gate") == ids[3::-1]


async def test_a_cursor_belongs_to_its_filters(http: httpx.AsyncClient) -> None:
    for _ in range(2):
        await created(http, tags=["gate"])
    page = (await http.get("/scenarios", params={"tag": "gate", "limit": 1})).json()
    other = await http.get("/scenarios", params={"tag": "other", "limit": 1, "cursor": page["next_cursor"]})
    assert (other.status_code, other.json()["type"]) == (400, "/problems/bad-cursor")


async def test_a_merge_patch_changes_what_it_has(http: httpx.AsyncClient) -> None:
    scenario = await created(http, tags=["gate"])
    path = f"/scenarios/{scenario['id']}"

    async def patched(change: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/merge-patch+json"}
        response = await http.patch(path, content=json.dumps(change), headers=headers)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        assert (await http.get(path)).json() == body
        return body

    assert await patched({}) == scenario
    assert await patched({"name": "yard"}) == scenario | {"name": "yard"}
    assert await patched({"tags": ["a", "a"]}) == scenario | {"name": "yard", "tags": ["a"]}
    assert await patched({"name": None, "tags": None}) == scenario | {"name": "", "tags": []}
    history = (await http.get(f"{path}/history")).json()["items"]
    assert [item["reason"] for item in history] == [
        "created",
        "name changed",
        "tags changed",
        "name and tags changed",
    ]


@pytest.mark.parametrize("change", [{"source": "x.mp4"}, {"nmae": "x"}, {"name": 5}, {"name": "x" * 201}, []])
async def test_a_patch_that_cannot_be_done_is_refused_and_changes_nothing(
    http: httpx.AsyncClient, bus: FakeBus, change: object
) -> None:
    scenario = await created(http)
    response = await http.patch(f"/scenarios/{scenario['id']}", json=change)
    assert response.status_code == 422
    assert len(bus.published) == 1


async def test_the_date_of_a_recording_is_changed_and_shown(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    scenario_id = await add_scenario(scenarios, state="inactive", media=Media(64, 48))
    path = f"/scenarios/{scenario_id}"
    assert (await http.get(path)).json()["recorded_at"] is None
    for date in ("2026-01-31T09:30:00Z", None):
        changed = await http.patch(path, json={"recorded_at": date})
        assert (changed.status_code, changed.json()["recorded_at"]) == (200, date)
        assert (await http.get(path)).json() == changed.json()  # of the cache, too
        assert (await http.get("/scenarios")).json()["items"][0]["recorded_at"] == date
    for wrong in ("2026-01-31T09:30:00", "0001-01-01T00:00:00Z"):
        assert (await http.patch(path, json={"recorded_at": wrong})).status_code == 422
    camera = await created(http, source="rtsp://camera.example/live")
    refused = await http.patch(f"/scenarios/{camera['id']}", json={"recorded_at": "2026-01-31T09:30:00Z"})
    assert refused.status_code == 409
    assert "leave `recorded_at` out" in refused.json()["detail"]


async def test_a_scenario_that_does_not_exist_is_not_changed(http: httpx.AsyncClient) -> None:
    assert (await http.patch(f"/scenarios/{uuid4()}", json={"name": "x"})).status_code == 404


async def test_the_kept_answer_of_a_completed_scenario_follows_changes(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    scenario_id = await add_scenario(scenarios, state="inactive")
    path = f"/scenarios/{scenario_id}"
    assert (await http.get(path)).json()["name"] == "front door"
    await http.patch(path, json={"name": "yard", "tags": ["gate"]})
    assert (await http.get(path)).json()["name"] == "yard"
    new = await created(http, replaces=str(scenario_id))
    assert (await http.get(path)).json()["replaced_by"] == new["id"]


async def test_a_scenario_replaces_another(http: httpx.AsyncClient) -> None:
    old = await created(http, tags=["gate"])
    new = (await http.post("/scenarios", json=BODY | {"name": "", "replaces": old["id"]})).json()
    assert (new["name"], new["tags"], new["replaces"]) == ("front door", ["gate"], old["id"])
    before = (await http.get(f"/scenarios/{old['id']}")).json()
    assert (before["replaced_by"], before["outcome"]) == (new["id"], "stopped")
    items = (await http.get("/scenarios")).json()["items"]
    assert [(item["id"], item["replaced_by"]) for item in items] == [
        (new["id"], None),
        (old["id"], new["id"]),
    ]
    again = await http.post(f"/scenarios/{old['id']}/start")
    assert (again.status_code, new["id"] in again.json()["detail"]) == (409, True)
    second = await http.post("/scenarios", json=BODY | {"replaces": old["id"]})
    assert (second.status_code, new["id"] in second.json()["detail"]) == (409, True)


async def test_a_hidden_login_is_that_of_the_scenario_which_is_replaced(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    address = "rtsp://admin:p%40ss@camera.local/live?token=hush&channel=1"
    old = await created(http, source=address)
    assert old["source"] == "rtsp://***@camera.local/live?token=***&channel=1"

    async def sent(**fields: object) -> tuple[int, str | None]:
        response = await http.post("/scenarios", json=BODY | {"source": old["source"]} | fields)
        return response.status_code, response.json().get("field")

    assert await sent() == (422, "source")
    assert await sent(replaces=str(uuid4())) == (404, "replaces")
    other = old["source"].replace("camera.local", "thief.example")
    assert await sent(source=other, replaces=old["id"]) == (422, "source")
    new = str(uuid4())
    # A replacement that is sent again is the same one, although its source is completed again.
    assert [await sent(id=new, replaces=old["id"]) for _ in range(2)] == [(201, None), (201, None)]
    async with scenarios.connection() as connection:
        rows = await connection.fetch("SELECT spec->>'source' AS source FROM scenarios")
    assert [row["source"] for row in rows] == [address, address]
    assert (await http.get(f"/scenarios/{new}")).json()["source"] == old["source"]


async def test_what_cannot_be_replaced_is_named(http: httpx.AsyncClient) -> None:
    unknown = await http.post("/scenarios", json=BODY | {"replaces": str(uuid4())})
    assert (unknown.status_code, unknown.json()["field"]) == (404, "replaces")
    own = str(uuid4())
    itself = await http.post("/scenarios", json=BODY | {"id": own, "replaces": own})
    assert (itself.status_code, itself.json()["field"]) == (422, "replaces")
    assert (await http.get("/scenarios")).json()["items"] == []


async def test_a_refused_replacement_can_be_repeated_with_the_same_key(http: httpx.AsyncClient) -> None:
    old = str(uuid4())
    headers = {"Idempotency-Key": "move the zone"}
    assert (await http.post("/scenarios", json=BODY | {"replaces": old}, headers=headers)).status_code == 404
    await created(http, id=old)
    done = [await http.post("/scenarios", json=BODY | {"replaces": old}, headers=headers) for _ in range(2)]
    assert [each.status_code for each in done] == [201, 201]
    assert done[0].json() == done[1].json()


async def test_a_succession_is_listed_newest_first_without_deleted_ones(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    ids = [(await created(http))["id"]]
    for _ in range(3):
        ids.append((await created(http, replaces=ids[-1]))["id"])
    await http.delete(f"/scenarios/{ids[1]}")
    found = await list_succession(scenarios, UUID(ids[3]))
    assert [str(each) for each in found] == [ids[3], ids[2], ids[0]]
    assert await list_succession(scenarios, UUID(ids[0])) == [UUID(ids[0])]
    assert await list_succession(scenarios, UUID(ids[1])) == []
    assert await list_succession(scenarios, uuid4()) == []


async def test_filters_read_an_index_however_many_scenarios_there_are(
    scenarios: Database, predictions: Database
) -> None:
    """Of 20,000 scenarios, one has the tag and the name: nothing like 20,000 rows may be read."""
    async with scenarios.connection() as connection:
        await connection.execute(
            """
            SET LOCAL synchronous_commit = on;  -- VACUUM passes over what is not yet on disk
            INSERT INTO scenarios (id, spec, state, attempt, outcome, tags, created_at)
            SELECT gen_random_uuid(), '{"name": "camera", "source": "a.mp4", "detector": {"type": "marker"}}'
                       || jsonb_build_object('zones', repeat('x', 1000)),  -- a usual size
                   'inactive', 1, 'completed', ARRAY['all', 'n' || n], now() - n * interval '1 second'
              FROM generate_series(1, 20000) AS n
            """
        )
        await connection.execute("VACUUM ANALYZE scenarios")  # which a search needs: it reads an index alone
    rare = await add_scenario(
        scenarios, state="inactive", age=10**9, tags=["rare"], outcome="failed", error="broken"
    )
    await _give_source(scenarios, rare, "b.mp4")
    camera = replace(SPEC, name="yard", source="rtsp://camera.local/live")
    live = await add_scenario(scenarios, state="active", age=10**9, spec=camera)
    for wanted, found in (
        (ScenarioFilter(tag="rare"), rare),
        (ScenarioFilter(name="front door"), rare),
        (ScenarioFilter(outcome="failed"), rare),
        (ScenarioFilter(source="b.mp4"), rare),
        (ScenarioFilter(state=State.ACTIVE), live),
        (ScenarioFilter(live=True), live),
        (ScenarioFilter(ended=False), live),
        (ScenarioFilter(text="nt door"), rare),
        (ScenarioFilter(text="RA.LOC", ended=False), live),
        (ScenarioFilter(text="nt door", outcome="failed", order="asc"), rare),
    ):
        before = await _tuples_read(scenarios)
        items, more = await list_scenarios(scenarios, predictions, wanted, None, 100, 10)
        assert ([item.id for item in items], more) == ([found], None)
        assert await _tuples_read(scenarios) - before < 100, wanted
    for order in ("name", "name-desc"):
        before = await _tuples_read(scenarios)
        items, after = await list_scenarios(scenarios, predictions, ScenarioFilter(order=order), None, 10, 10)
        await list_scenarios(scenarios, predictions, ScenarioFilter(order=order), after, 10, 10)
        assert len(items) == 10
        assert await _tuples_read(scenarios) - before < 100, order
    before = await _tuples_read(scenarios)
    assert (await count_scenarios(scenarios)).total == 20_002
    assert await _tuples_read(scenarios) - before < 100


async def _give_source(scenarios: Database, scenario_id: UUID, source: str) -> None:
    async with scenarios.connection() as connection:
        await connection.execute(
            "UPDATE scenarios SET spec = jsonb_set(spec, '{source}', to_jsonb($2::text)) WHERE id = $1",
            scenario_id,
            source,
        )


async def test_a_source_with_a_password_is_not_searched_for(http: httpx.AsyncClient) -> None:
    refused = await http.get("/scenarios", params={"source": "rtsp://user:guess@camera/stream"})
    assert (refused.status_code, refused.json()["field"]) == (400, "source")


async def _tuples_read(scenarios: Database) -> int:
    async with scenarios.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        read: int = await connection.fetchval(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'scenarios'"
        )
    return read

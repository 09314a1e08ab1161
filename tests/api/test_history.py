"""The history of one scenario."""

import httpx

from app.postgres import Database
from tests.support.rows import add_event, add_scenario


async def test_the_history_is_returned_oldest_first_in_pages(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    scenario_id = await add_scenario(scenarios, state="inactive", outcome="failed", error="no such file")
    other = await add_scenario(scenarios)
    await add_event(scenarios, scenario_id, "init_startup", reason="created")
    await add_event(scenarios, other, "init_startup", reason="another's")
    await add_event(scenarios, scenario_id, "active", from_state="in_startup_processing", runner_id="local")
    await add_event(scenarios, scenario_id, "inactive", from_state="active", reason="no such file")
    path = f"/scenarios/{scenario_id}/history"
    first = (await http.get(path, params={"limit": 2})).json()
    second = (await http.get(path, params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert second["next_cursor"] is None
    items = first["items"] + second["items"]
    assert [(i["from"], i["to"], i["reason"], i["runner_id"]) for i in items] == [
        (None, "init_startup", "created", None),
        ("in_startup_processing", "active", "because", "local"),
        ("active", "inactive", "no such file", None),
    ]
    assert [(i["outcome"], i["error"]) for i in items] == [
        (None, None),
        (None, None),
        ("failed", "no such file"),
    ]
    assert {i["scenario_id"] for i in items} == {str(scenario_id)}


async def test_only_the_latest_end_has_an_outcome(http: httpx.AsyncClient, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios, attempt=2)
    await add_event(scenarios, scenario_id, "inactive", attempt=1)
    await add_event(scenarios, scenario_id, "init_startup", attempt=2)
    items = (await http.get(f"/scenarios/{scenario_id}/history")).json()["items"]
    assert [item["outcome"] for item in items] == [None, None]

"""The history of one scenario."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.api.queries import history
from app.postgres import Database
from tests.support.rows import MEDIA, add_event, add_scenario, add_source_change

BEGIN = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


async def read_all(http: httpx.AsyncClient, scenario_id: UUID, limit: int) -> list[Any]:
    """Read a history page by page."""
    items: list[Any] = []
    query: dict[str, Any] = {"limit": limit}
    while True:
        response = await http.get(f"/scenarios/{scenario_id}/history", params=query)
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        query["cursor"] = page["next_cursor"]


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


async def test_the_id_of_a_change_is_written_in_digits(http: httpx.AsyncClient, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_event(scenarios, scenario_id, "init_startup")
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE scenario_events SET xid = '60000'")
        stored = await connection.fetchval("SELECT id FROM scenario_events")
    (item,) = (await http.get(f"/scenarios/{scenario_id}/history")).json()["items"]
    assert item["id"] == f"60000-{stored}"


async def test_only_the_latest_end_has_an_outcome(http: httpx.AsyncClient, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios, attempt=2)
    await add_event(scenarios, scenario_id, "inactive", attempt=1)
    await add_event(scenarios, scenario_id, "init_startup", attempt=2)
    items = (await http.get(f"/scenarios/{scenario_id}/history")).json()["items"]
    assert [item["outcome"] for item in items] == [None, None]


async def test_the_losses_of_a_live_source_are_merged_by_time(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id, other = await add_scenario(scenarios), await add_scenario(scenarios)
    await add_event(scenarios, scenario_id, "active", at=BEGIN)
    await add_event(scenarios, scenario_id, "inactive", at=BEGIN + timedelta(seconds=60))
    for number, (second, state, reason) in enumerate(
        [(20, "reconnecting", "nothing listens there"), (38, "open", "back after 18.0 s")], 4
    ):
        at = BEGIN + timedelta(seconds=second)
        await add_source_change(predictions, scenario_id, number, at=at, state=state, reason=reason)
    await add_source_change(predictions, other, 1, at=BEGIN)
    items = (await http.get(f"/scenarios/{scenario_id}/history")).json()["items"]
    assert [item["kind"] for item in items] == ["state", "source", "source", "state"]
    assert items[1] == {
        "kind": "source",
        "scenario_id": str(scenario_id),
        "number": 4,
        "at": "2026-01-31T09:30:20Z",
        "state": "reconnecting",
        "attempt": 1,
        "reason": "nothing listens there",
        "media": None,
    }
    assert (items[2]["state"], items[2]["reason"]) == ("open", "back after 18.0 s")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_neither_skip_nor_repeat_a_change_whatever_the_clocks_say(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, limit: int
) -> None:
    scenario_id = await add_scenario(scenarios)
    # The clock of one database is late, goes back, and has the same times.
    for number, second in enumerate([5, 3, 3, 9, 9, 1, 20], 1):
        at = BEGIN + timedelta(seconds=second)
        await add_source_change(predictions, scenario_id, number, at=at, media=MEDIA)
    for second in [1, 3, 4, 9, 9, 10]:
        at = BEGIN + timedelta(seconds=second)
        await add_event(scenarios, scenario_id, at=at, reason=str(second))
    items = await read_all(http, scenario_id, limit)
    assert items == await read_all(http, scenario_id, 1000)
    of_source = [item for item in items if item["kind"] == "source"]
    assert [item["number"] for item in of_source] == list(range(1, 8))
    assert of_source[0]["media"]["width"] == MEDIA.width
    assert [item["reason"] for item in items if item["kind"] == "state"] == ["1", "3", "4", "9", "9", "10"]


async def test_a_change_that_is_stored_late_is_in_a_later_page(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    for second in range(4):
        await add_event(scenarios, scenario_id, at=BEGIN + timedelta(seconds=second))
    path = f"/scenarios/{scenario_id}/history"
    first = (await http.get(path, params={"limit": 2})).json()
    await add_source_change(predictions, scenario_id, 1, at=BEGIN)
    second_page = (await http.get(path, params={"limit": 10, "cursor": first["next_cursor"]})).json()
    assert [item["kind"] for item in second_page["items"]] == ["source", "state", "state"]


async def test_a_page_that_ends_early_skips_no_change_of_the_source(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_PAGE", 100)
    scenario_id = await add_scenario(scenarios)
    for second in range(1, 6):
        await add_event(scenarios, scenario_id, at=BEGIN + timedelta(seconds=second), reason="x" * 60)
    for number, second in enumerate([0, 30, 2], 1):  # the clock goes back
        await add_source_change(predictions, scenario_id, number, at=BEGIN + timedelta(seconds=second))
    items = await read_all(http, scenario_id, 100)
    assert [item["number"] for item in items if item["kind"] == "source"] == [1, 2, 3]
    assert len(items) == 8

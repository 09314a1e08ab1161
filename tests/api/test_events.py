"""Pages of what happened in the videos."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.api.http.cursors import make_cursor
from app.api.queries.events import EventFilter
from app.postgres import Database
from tests.api.conftest import Start, connected
from tests.support.rows import BEGIN, MEDIA, add_checkpoint, add_found, add_scenario

KINDS: dict[str, dict[str, Any]] = {
    "object": {},
    "zone": {"name": "yard"},
    "line": {"name": "door", "direction": "left"},
    "presence": {"track_id": None},
    "alert": {"name": "visitor"},
}


async def events(http: httpx.AsyncClient, path: str, **query: Any) -> list[Any]:
    """Return the events of all pages."""
    seen: list[Any] = []
    while True:
        response = await http.get(path, params=query)
        assert response.status_code == 200, response.text
        page = response.json()
        assert len(page["items"]) <= query.get("limit", 100)
        seen += page["items"]
        if page["next_cursor"] is None:
            return seen
        query["cursor"] = page["next_cursor"]


async def numbers(http: httpx.AsyncClient, scenario_id: UUID, **query: Any) -> list[int]:
    return [item["event_id"] for item in await events(http, f"/scenarios/{scenario_id}/events", **query)]


@pytest.fixture
async def scenario_id(scenarios: Database, predictions: Database) -> UUID:
    """Store 20 events: of each kind one of a person, a car, a dog and a person again."""
    scenario_id = await add_scenario(scenarios, media=MEDIA)
    await add_checkpoint(predictions, scenario_id)
    for event_id, (label, kind) in enumerate(product(("person", "car", "dog", "person"), KINDS), 1):
        state = {19: "open", 20: "interrupted"}.get(event_id, "ended")
        columns = {"track_id": event_id % 3} | KINDS[kind]
        await add_found(predictions, scenario_id, event_id, label=label, kind=kind, state=state, **columns)
    stranger = await add_scenario(scenarios)
    await add_found(predictions, stranger, 1, start_time=3.5)
    return scenario_id


async def test_an_event_tells_what_happened(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_found(
        predictions, scenario_id, 1, kind="line", name="door", direction="left", start_time=4.0, at=BEGIN
    )
    page = (await http.get(f"/scenarios/{scenario_id}/events")).json()
    event = {
        "event_id": 1,
        "kind": "line",
        "state": "ended",
        "label": "person",
        "track_id": 1,
        "name": "door",
        "direction": "left",
        "start_frame": 120,
        "start_time": 4.0,
        "end_frame": 150,
        "end_time": 5.0,
        "best_frame": 123,
        "best_time": 4.1,
        "best_box": [10.1, 20.0, 30.0, 40.0],
        "best_confidence": 0.9,
        "scenario_id": str(scenario_id),
        "at": "2026-01-31T09:30:00Z",
        "picture": None,  # it is not known yet whether the source is live
    }
    assert page == {"items": [event], "next_cursor": None}
    assert (await http.get("/events")).json() == page
    assert (await http.get("/events", params={"from_time": "2026-01-31T00:00:00Z"})).json() == page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, range(1, 21)),
        ({"order": "desc"}, range(20, 0, -1)),
        ({"kind": "zone"}, [2, 7, 12, 17]),
        ({"label": "person"}, [1, 2, 3, 4, 5, 16, 17, 18, 19, 20]),
        ({"name": "door"}, [3, 8, 13, 18]),
        ({"name": "door", "label": "car"}, [8]),
        ({"kind": "zone", "label": "person", "order": "desc"}, [17, 2]),
        ({"kind": "zone", "name": "door"}, []),
        ({"kind": "presence", "label": "dog"}, [14]),
        ({"track": 2}, [2, 5, 8, 11, 17, 20]),
        ({"track": 2, "kind": "zone"}, [2, 17]),
        ({"track": 2, "order": "desc", "from_time": 5}, [20, 17, 11, 8, 5]),
        ({"state": "open"}, [19]),
        ({"state": "interrupted"}, [20]),
        ({"state": "interrupted", "label": "car"}, []),
        ({"state": "interrupted", "track": 2, "kind": "alert"}, [20]),
        ({"state": "ended", "kind": "alert"}, [5, 10, 15]),
        ({"from_time": 3, "to_time": 6}, [3, 4, 5]),
        ({"from_time": 3, "to_time": 9, "kind": "line"}, [3, 8]),
        ({"from_time": 18.5, "order": "desc"}, [20, 19]),
        ({"from_time": 6, "to_time": 3}, []),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_events_are_filtered(
    http: httpx.AsyncClient, scenario_id: UUID, query: dict[str, Any], expected: Any, limit: int
) -> None:
    assert await numbers(http, scenario_id, limit=limit, **query) == list(expected)
    if "track" not in query and "from_time" not in query:
        every = await events(http, "/events", limit=limit, **query)
        own = [item["event_id"] for item in every if item["scenario_id"] == str(scenario_id)]
        assert own == list(expected)


async def test_events_are_counted_by_kind_name_and_label(
    http: httpx.AsyncClient, scenarios: Database, scenario_id: UUID
) -> None:
    path = f"/scenarios/{scenario_id}/events"
    counts = (await http.get(f"{path}/counts")).json()["items"]
    assert {"kind": "object", "name": None, "label": "person", "events": 2} in counts
    assert {"kind": "line", "name": "door", "label": "car", "events": 1} in counts
    assert sum(each["events"] for each in counts) == 20
    assert (await http.get(f"/scenarios/{await add_scenario(scenarios)}/events/counts")).json() == {
        "items": []
    }
    assert (await http.get(f"/scenarios/{uuid4()}/events/counts")).status_code == 404


async def test_events_that_begin_at_one_time_are_neither_repeated_nor_skipped(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    for event_id in (3, 1, 4, 2):
        await add_found(predictions, scenario_id, event_id, start_time=7.25, at=BEGIN)
    other = await add_scenario(scenarios)
    await add_found(predictions, other, 1, at=BEGIN)
    assert await numbers(http, scenario_id, limit=1) == [1, 2, 3, 4]
    assert await numbers(http, scenario_id, limit=3, order="desc", kind="object") == [4, 3, 2, 1]
    dated = await events(http, "/events", limit=2, from_time=BEGIN.isoformat())
    assert sorted((item["scenario_id"], item["event_id"]) for item in dated) == sorted(
        [*((str(scenario_id), n) for n in (1, 2, 3, 4)), (str(other), 1)]
    )
    assert [item["event_id"] for item in await events(http, "/events", limit=2)] == [3, 1, 4, 2, 1]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_the_events_of_replaced_scenarios_come_before_a_scenarios_own(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, limit: int
) -> None:
    oldest = await add_scenario(scenarios, state="inactive")
    deleted = await add_scenario(scenarios, state="inactive", replaces=oldest, deleted_at=datetime.now(UTC))
    newest = await add_scenario(scenarios, replaces=deleted)
    last = {newest: "open", deleted: "interrupted", oldest: "interrupted"}
    for scenario_id, event_id in product(last, (1, 2)):
        if event_id == 1:
            await add_checkpoint(predictions, scenario_id)
        state = "ended" if event_id == 1 else last[scenario_id]
        await add_found(predictions, scenario_id, event_id, state=state)

    async def listed(scenario_id: UUID, **query: Any) -> list[tuple[str, int]]:
        found = await events(http, f"/scenarios/{scenario_id}/events", limit=limit, **query)
        return [(item["scenario_id"], item["event_id"]) for item in found]

    in_order = [(str(oldest), 1), (str(oldest), 2), (str(newest), 1), (str(newest), 2)]
    assert await listed(newest) == in_order
    assert await listed(newest, order="desc", kind="object") == in_order[::-1]
    assert await listed(oldest) == in_order[:2]
    assert await listed(newest, state="open") == in_order[3:]
    assert await listed(newest, state="interrupted") == in_order[1:2]


async def test_a_page_that_begins_in_a_deleted_scenario_is_refused(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    older = await add_scenario(scenarios, state="inactive")
    newer = await add_scenario(scenarios, replaces=older)
    for event_id in (1, 2):
        await add_found(predictions, older, event_id)
    path = f"/scenarios/{newer}/events"
    cursor = (await http.get(path, params={"limit": 1})).json()["next_cursor"]
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE scenarios SET deleted_at = now() WHERE id = $1", older)
    response = await http.get(path, params={"cursor": cursor})
    assert (response.status_code, response.json()["type"]) == (400, "/problems/bad-cursor")
    assert "deleted" in response.json()["detail"]


async def test_times_across_scenarios_select_events_whose_time_of_day_is_known(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    for minute in (4, 1, 3, 2):
        await add_found(predictions, scenario_id, minute, at=BEGIN + timedelta(minutes=minute))
    await add_found(predictions, scenario_id, 9)

    async def minutes(**query: Any) -> list[int]:
        return [item["event_id"] for item in await events(http, "/events", limit=1, **query)]

    assert await minutes() == [4, 1, 3, 2, 9]
    assert await minutes(from_time="2026-01-31T00:00:00Z") == [1, 2, 3, 4]
    assert await minutes(from_time="2026-01-31T10:32:00+01:00", order="desc") == [4, 3, 2]
    between = {"from_time": BEGIN.timestamp() + 60, "to_time": BEGIN.timestamp() + 180}
    assert await minutes(**between) == [1, 2]
    assert await minutes(label="person", kind="object", **between) == [1, 2]
    assert await minutes(label="car", **between) == []


async def test_events_of_deleted_scenarios_are_not_listed(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    deleted = await add_scenario(scenarios, state="inactive", deleted_at=datetime.now(UTC))
    kept = await add_scenario(scenarios)
    for event_id in range(1, 41):
        await add_found(predictions, deleted, event_id, at=BEGIN)
    await add_found(predictions, kept, 1, at=BEGIN)
    await add_checkpoint(predictions, deleted)
    for event_id in range(41, 61):
        await add_found(predictions, deleted, event_id, at=BEGIN, state="open")
    assert await events(http, "/events", state="open") == []
    for query in ({}, {"from_time": 0}, {"kind": "object"}, {"order": "desc"}):
        assert [item["scenario_id"] for item in await events(http, "/events", limit=10, **query)] == [
            str(kept)
        ]
    assert (await http.get(f"/scenarios/{deleted}/events")).status_code == 404


async def test_a_page_ends_among_many_events_of_deleted_scenarios(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    deleted, kept = uuid4(), await add_scenario(scenarios)
    await add_found(predictions, deleted, 0x1000)
    async with predictions.connection() as connection:
        columns = [
            row["attname"]
            for row in await connection.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'events'::regclass AND attnum > 0"
                " AND attname NOT IN ('event_id', 'storage_order')"
            )
        ]
        listed = ", ".join(columns)
        await connection.execute(
            f"INSERT INTO events (event_id, {listed})"  # noqa: S608
            f" SELECT n, {listed} FROM events, generate_series(1, 4090) AS n"
        )
    await add_found(predictions, kept, 1)
    page = (await http.get("/events", params={"limit": 1})).json()
    assert page["items"] == []
    assert page["next_cursor"]
    assert [item["event_id"] for item in await events(http, "/events", limit=1)] == [1]


async def test_a_date_is_a_time_of_a_live_source_only(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    camera, recording = await add_scenario(scenarios), await add_scenario(scenarios, media=MEDIA)
    await add_found(predictions, camera, 1, start_time=BEGIN.timestamp())
    for query, expected in (({"from_time": BEGIN.isoformat()}, [1]), ({"to_time": BEGIN.isoformat()}, [])):
        assert await numbers(http, camera, **query) == expected
        refused = await http.get(f"/scenarios/{recording}/events", params=query)
        assert (refused.status_code, refused.json()["field"]) == (400, next(iter(query)))


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/events", {"track": 3}, "track"),
        ("/events", {"from_time": 1e300}, "from_time"),
        ("/events", {"from_time": "2026-01-31T09:30:00"}, "from_time"),
        ("/events", {"kind": "visit"}, "kind"),
        ("/events", {"limit": 0}, "limit"),
        ("/scenarios/{}/events", {"state": "over"}, "state"),
        ("/scenarios/{}/events", {"order": "up"}, "order"),
        ("/scenarios/{}/events", {"from_time": "inf"}, "from_time"),
        ("/scenarios/{}/events", {"track": 2**63}, "track"),
    ],
)
async def test_wrong_parameters_are_refused(
    http: httpx.AsyncClient, scenario_id: UUID, path: str, query: dict[str, Any], field: str
) -> None:
    response = await http.get(path.format(scenario_id), params=query)
    assert (response.status_code, response.json()["field"]) == (400, field)


async def test_a_cursor_belongs_to_its_path_and_filters(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    path = f"/scenarios/{scenario_id}/events"
    cursor = (await http.get(path, params={"limit": 1})).json()["next_cursor"]
    for other, query in ((path, {"label": "car"}), (path, {"order": "desc"}), ("/events", {})):
        response = await http.get(other, params=query | {"cursor": cursor})
        assert (response.status_code, response.json()["type"]) == (400, "/problems/bad-cursor")
    everywhere = (await http.get("/events", params={"limit": 1})).json()["next_cursor"]
    response = await http.get("/events", params={"cursor": everywhere, "from_time": 0})
    assert response.status_code == 400


@pytest.mark.parametrize("position", [(uuid4(), 1.0, 1), (1,), ("x", 1.0, 1), (uuid4(), 1.0, 2**63)])
async def test_a_forged_cursor_is_refused(http: httpx.AsyncClient, scenario_id: UUID, position: Any) -> None:
    bound = ("scenario events", scenario_id, EventFilter(), (None, None), "asc")
    cursor = make_cursor(position, bound)
    response = await http.get(f"/scenarios/{scenario_id}/events", params={"cursor": cursor})
    assert (response.status_code, response.json()["type"]) == (400, "/problems/bad-cursor")


async def test_a_scenario_that_does_not_exist_has_no_events(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/scenarios/{uuid4()}/events")).status_code == 404


async def test_who_asks_for_the_stream_that_was_here_is_told_its_address(start: Start) -> None:
    async with start(path_prefix="/video") as app, connected(app) as http:
        moved = await http.get("/events", headers={"Accept": "text/event-stream"})
        assert (moved.status_code, moved.json()["type"]) == (410, "/problems/gone")
        assert "/video/stream" in moved.json()["detail"]
        assert moved.headers["location"] == "/video/stream"


async def test_one_event_is_read_by_its_number(
    http: httpx.AsyncClient, scenario_id: UUID, predictions: Database
) -> None:
    for listed in await events(http, f"/scenarios/{scenario_id}/events"):
        one = await http.get(f"/scenarios/{scenario_id}/events/{listed['event_id']}")
        assert (one.status_code, one.json()) == (200, listed)
    for unknown in (0, 21, 2**63 - 1, 2**63):
        refused = await http.get(f"/scenarios/{scenario_id}/events/{unknown}")
        assert refused.status_code == 404
        assert f"has no event {unknown}, or it is too old" in refused.json()["detail"]
    deleted = uuid4()
    await add_found(predictions, deleted, 1)
    refused = await http.get(f"/scenarios/{deleted}/events/1")
    assert (refused.status_code, "There is no scenario" in refused.json()["detail"]) == (404, True)

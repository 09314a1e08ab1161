"""Scenarios are found by a part of what describes them, and counted."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.api.queries import found_labels
from app.domain.detector_config import Marker
from app.domain.media import Media
from app.domain.spec import ScenarioSpec
from app.postgres import Database
from app.predictions.codec import FRAMES_PER_BLOCK
from tests.support.rows import add_prediction, add_scenario

CAMERA = "rtsp://camera.example/live/token=abcdef"
WITH_LOGIN = "rtsp://admin:pass/word@gate.example/live"


@pytest.fixture
async def named(scenarios: Database) -> dict[str, str]:
    """Some scenarios, oldest first: their name by id."""
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("yard", "cams/Yard_1.mp4", {"state": "inactive", "media": Media(64, 48)}),
        (
            "100 %",
            "b.mp4",
            {"state": "inactive", "outcome": "failed", "error": "because", "tags": ["Straße"]},
        ),
        ("camera", CAMERA, {"state": "init_startup"}),
        ("gate", WITH_LOGIN, {"state": "active", "media": Media(64, 48, live=True)}),
        ("live test", "test:testsrc2?live=true", {"state": "init_startup"}),
        ("http", "http://example.org/a_b.mjpg", {"state": "active", "media": Media(64, 48, live=True)}),
    ]
    return {
        str(
            await add_scenario(
                scenarios, spec=ScenarioSpec(source, Marker(), name=name), age=100.0 - number, **columns
            )
        ): name
        for number, (name, source, columns) in enumerate(rows)
    }


async def found(http: httpx.AsyncClient, named: dict[str, str], **query: str) -> list[str]:
    """Return the names of what is listed, read in pages of two."""
    names: list[str] = []
    cursor = None
    while True:
        page = await http.get(
            "/scenarios", params=query | {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        )
        assert page.status_code == 200, page.text
        names += [named[item["id"]] for item in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("YARD", ["yard"]),  # of the name and of the path
        ("cams/", ["yard"]),
        ("straße", ["100 %"]),  # of a tag
        ("%", ["100 %"]),  # no pattern
        ("_", ["yard"]),
        ("camera.ex", ["camera"]),
        ("example", ["http", "camera"]),
        ("token", []),  # what may be a secret is not searched
        ("word", []),
        ("admin", []),
        ("nothing", []),
    ],
)
async def test_a_text_is_searched_in_what_is_no_secret(
    http: httpx.AsyncClient, named: dict[str, str], text: str, expected: list[str]
) -> None:
    assert await found(http, named, text=text) == expected


async def test_a_text_is_found_however_long_what_is_searched_is(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    tags = [f"{number:02} {'ü' * 61}" for number in range(32)]
    spec = ScenarioSpec("a.mp4", Marker(), name="short")
    short = str(await add_scenario(scenarios, spec=spec, age=1.0))
    spec = ScenarioSpec(f"{'folder/' * 400}end.mp4", Marker(), name="long")
    long = str(await add_scenario(scenarios, spec=spec, tags=tags))
    for text, ids in (("31 ü", [long]), ("END.mp4", [long]), ("mp4", [long, short]), ("\\", [])):
        page = (await http.get("/scenarios", params={"text": text})).json()
        assert [item["id"] for item in page["items"]] == ids, text
    first = (await http.get("/scenarios", params={"text": "mp4", "limit": "1"})).json()
    assert [item["id"] for item in first["items"]] == [long]
    rest = {"text": "mp4", "limit": "1", "cursor": first["next_cursor"]}
    page = (await http.get("/scenarios", params=rest)).json()
    assert ([item["id"] for item in page["items"]], page["next_cursor"]) == ([short], None)


async def test_lists_of_live_and_ended_scenarios_in_both_orders(
    http: httpx.AsyncClient, named: dict[str, str]
) -> None:
    live = ["http", "live test", "gate", "camera"]
    assert await found(http, named, live="true") == live
    assert await found(http, named, live="true", order="asc") == live[::-1]
    assert await found(http, named, live="false") == ["100 %", "yard"]
    assert await found(http, named, ended="true", order="asc") == ["yard", "100 %"]
    assert await found(http, named, ended="false", live="true", text="test") == ["live test"]
    assert await found(http, named, order="asc") == list(named.values())


async def test_a_list_by_name_has_what_has_none_by_its_source(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, named: dict[str, str]
) -> None:
    long = f"m{'ü' * 900}.mp4"
    more = [("Yard", "z.mp4"), ("", "cams/Yard_2.mp4"), ("", WITH_LOGIN), ("", CAMERA), ("", long)]
    for number, (name, source) in enumerate(more):
        spec = ScenarioSpec(source, Marker(), name=name)
        named[str(await add_scenario(scenarios, spec=spec))] = name or f"{number}: {source[:4]}"
    names = await found(http, named, order="name")
    assert len(names) == len(set(named)) == 11
    assert [name.lower() for name in names] == [
        "2: rtsp", "100 %", "camera", "1: cams", "gate", "http", "live test", "4: mü" + "ü" * 2, "3: rtsp",
        "yard", "yard",
    ]  # fmt: skip
    assert await found(http, named, order="name-desc") == names[::-1]
    yards = [name for name in names if name in ("Yard", "yard", "1: cams")]
    assert await found(http, named, order="name", text="yard") == yards
    for name in ("camera", "gate"):
        scenario_id = next(UUID(each) for each, own in named.items() if own == name)
        await add_prediction(predictions, scenario_id, 0, ("person", 0.5))
    assert await found(http, named, order="name", found="person") == ["camera", "gate"]


async def test_a_cursor_belongs_to_its_order(http: httpx.AsyncClient, named: dict[str, str]) -> None:
    cursor = (await http.get("/scenarios", params={"limit": "2", "order": "asc"})).json()["next_cursor"]
    answer = await http.get("/scenarios", params={"limit": "2", "cursor": cursor})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-cursor")


async def test_scenarios_are_counted(
    http: httpx.AsyncClient, named: dict[str, str], scenarios: Database
) -> None:
    counts = (await http.get("/scenarios/counts")).json()
    assert counts == {
        "total": 6,
        "live": 4,
        "states": {"inactive": 2, "init_startup": 2, "active": 2},
        "outcomes": {"completed": 1, "failed": 1},
    }
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE scenarios SET deleted_at = now() WHERE state = 'inactive'")
    assert (await http.get("/scenarios/counts")).json()["total"] == 4


@pytest.mark.parametrize("few", [found_labels.FEW, 1])
async def test_lists_of_scenarios_in_which_a_label_was_found(
    http: httpx.AsyncClient,
    named: dict[str, str],
    predictions: Database,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
) -> None:
    monkeypatch.setattr(found_labels, "FEW", few)
    monkeypatch.setattr(found_labels, "_FIRST_PART", 1)
    ids = {name: UUID(scenario_id) for scenario_id, name in named.items()}
    for name in ("yard", "camera", "gate", "live test"):
        for frame in (0, 10, 5 * FRAMES_PER_BLOCK):
            await add_prediction(predictions, ids[name], frame, ("person", 0.5), ("car park", 0.1))
    await add_prediction(predictions, ids["http"], 0, ("car", 0.9))
    await add_prediction(predictions, ids["100 %"], 0)
    await add_prediction(predictions, uuid4(), 0, ("person", 0.5))  # of a scenario that was deleted
    everywhere = ["live test", "gate", "camera", "yard"]
    assert await found(http, named, found="person") == everywhere
    assert await found(http, named, found="person", order="asc") == everywhere[::-1]
    assert await found(http, named, found="car") == ["http"]
    assert await found(http, named, found="Person") == []
    assert await found(http, named, found="person", state="init_startup") == ["live test", "camera"]
    assert await found(http, named, found="person", text="cam") == ["camera", "yard"]
    assert await found(http, named, found="person", live="true", ended="false", name="gate") == ["gate"]
    assert (await http.get("/scenarios", params={"found": ""})).status_code == 400

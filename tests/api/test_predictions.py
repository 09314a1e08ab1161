"""Pages of predictions."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.api.http.cursors import make_cursor
from app.api.queries.predictions import MAX_PAGE, PredictionFilter
from app.postgres import Database
from tests.support.rows import add_prediction, add_scenario, class_ids, packed

CROWD = 300
"""Detections in each frame of `add_crowds`."""


@pytest.fixture
async def scenario_id(scenarios: Database, predictions: Database) -> UUID:
    """Store ten frames: each has a cat, every third also a dog, frame 7 nothing, frame 9 an error."""
    scenario_id = await add_scenario(scenarios)
    for frame in range(9):
        found = [] if frame == 7 else [("cat", frame / 10)] + ([("dog", 0.9)] if frame % 3 == 0 else [])
        await add_prediction(predictions, scenario_id, frame, *found)
    await add_prediction(predictions, scenario_id, 9, error="the frame could not be decoded")
    await add_prediction(predictions, uuid4(), 3, ("stranger", 1.0))
    return scenario_id


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


async def test_a_prediction_has_labels_confidences_and_boxes(
    http: httpx.AsyncClient, scenario_id: UUID, predictions: Database
) -> None:
    await add_prediction(
        predictions,
        scenario_id,
        12,
        ("car", 0.7),
        ("bus", 0.6),
        track_ids=[4, None],
        boxes=packed(10.1, 20, 30, 40, 11.1, 20, 30, 40) + class_ids(2, 0xFFFF),
    )
    page = (await http.get(f"/scenarios/{scenario_id}/predictions")).json()
    assert page["items"][6:] == [
        {
            "frame": 6,
            "time": 0.2,
            "detections": [
                {
                    "label": "cat",
                    "confidence": 0.6,
                    "box": [10.1, 20.0, 30.0, 40.0],
                    "track_id": None,
                    "class_id": None,
                },
                {
                    "label": "dog",
                    "confidence": 0.9,
                    "box": [11.1, 20.0, 30.0, 40.0],
                    "track_id": None,
                    "class_id": None,
                },
            ],
        },
        {"frame": 7, "time": 7 / 30, "detections": []},
        {
            "frame": 8,
            "time": 8 / 30,
            "detections": [
                {
                    "label": "cat",
                    "confidence": 0.8,
                    "box": [10.1, 20.0, 30.0, 40.0],
                    "track_id": None,
                    "class_id": None,
                }
            ],
        },
        {"frame": 9, "time": 0.3, "detections": [], "error": "the frame could not be decoded"},
        {
            "frame": 12,
            "time": 0.4,
            "detections": [
                {
                    "label": "car",
                    "confidence": 0.7,
                    "box": [10.1, 20.0, 30.0, 40.0],
                    "track_id": 4,
                    "class_id": 2,
                },
                {
                    "label": "bus",
                    "confidence": 0.6,
                    "box": [11.1, 20.0, 30.0, 40.0],
                    "track_id": None,
                    "class_id": None,
                },
            ],
        },
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, list(range(10))),
        ({"limit": 3}, list(range(10))),
        ({"limit": 10}, list(range(10))),
        ({"from_frame": 4}, [4, 5, 6, 7, 8, 9]),
        ({"to_frame": 4, "limit": 2}, [0, 1, 2, 3]),
        ({"from_frame": 2, "to_frame": 2}, []),
        ({"from_time": 0.2}, [6, 7, 8, 9]),
        ({"to_time": 0.2}, [0, 1, 2, 3, 4, 5]),
        ({"label": "dog", "limit": 1}, [0, 3, 6]),
        ({"min_confidence": 0.9}, [0, 3, 6]),
        ({"min_confidence": 0}, [0, 1, 2, 3, 4, 5, 6, 8]),
        ({"label": "cat", "min_confidence": 0.6, "limit": 2}, [6, 8]),
        ({"label": "cat", "min_confidence": 0.9}, []),
        ({"label": "cow"}, []),
    ],
)
async def test_filters_select_frames(
    http: httpx.AsyncClient, scenario_id: UUID, query: dict[str, Any], expected: list[int]
) -> None:
    assert await frames(http, scenario_id, **query) == expected


async def test_with_a_filter_only_matching_detections_are_returned(
    http: httpx.AsyncClient, scenario_id: UUID
) -> None:
    for least, expected in [
        (0.6, [(0, "dog"), (3, "dog"), (6, "cat"), (6, "dog"), (8, "cat")]),
        (0.9, [(0, "dog"), (3, "dog"), (6, "dog")]),  # stored as 0.89999998
    ]:
        response = await http.get(f"/scenarios/{scenario_id}/predictions", params={"min_confidence": least})
        found = [(i["frame"], d["label"]) for i in response.json()["items"] for d in i["detections"]]
        assert found == expected


async def test_pages_stay_right_while_rows_are_added(
    http: httpx.AsyncClient, scenario_id: UUID, predictions: Database
) -> None:
    first = (await http.get(f"/scenarios/{scenario_id}/predictions", params={"limit": 6})).json()
    for frame in (10, 11, 12):
        await add_prediction(predictions, scenario_id, frame)
    query = {"limit": 20, "cursor": first["next_cursor"]}
    second = (await http.get(f"/scenarios/{scenario_id}/predictions", params=query)).json()
    assert [item["frame"] for item in first["items"] + second["items"]] == list(range(13))
    assert second["next_cursor"] is None


async def test_a_cursor_is_valid_only_for_its_query(
    http: httpx.AsyncClient, scenario_id: UUID, scenarios: Database
) -> None:
    path = f"/scenarios/{scenario_id}/predictions"
    cursor = (await http.get(path, params={"limit": 1, "label": "cat"})).json()["next_cursor"]
    other = await add_scenario(scenarios)
    flipped = ("B" if cursor[0] == "A" else "A") + cursor[1:]
    for wrong_path, query in [
        (path, {"cursor": cursor}),
        (path, {"label": "dog", "cursor": cursor}),
        (path, {"label": "cat", "to_frame": 5, "cursor": cursor}),
        (f"/scenarios/{other}/predictions", {"label": "cat", "cursor": cursor}),
        (f"/scenarios/{scenario_id}/history", {"cursor": cursor}),
        ("/scenarios", {"cursor": cursor}),
        (path, {"label": "cat", "cursor": flipped}),
        (path, {"label": "cat", "cursor": cursor[:-3]}),
        (path, {"label": "cat", "cursor": "ä!"}),
        (path, {"label": "cat", "cursor": ""}),
    ]:
        response = await http.get(wrong_path, params=query)
        assert (response.status_code, response.json()["type"]) == (400, "/problems/bad-cursor"), query
    assert (await http.get(path, params={"label": "cat", "cursor": cursor})).status_code == 200


async def test_a_forged_cursor_is_refused(http: httpx.AsyncClient, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    path = f"/scenarios/{scenario_id}"
    forged: list[tuple[str, object, object]] = [
        *(
            (f"{path}/predictions", ("predictions", scenario_id, PredictionFilter()), [n])
            for n in (2**63, 2**64 - 1, -1)
        ),
        (f"{path}/history", ("history", scenario_id), [2**63, 0]),
        ("/scenarios", ("scenarios", None), ["0001-01-01T00:00:00+23:59", str(scenario_id)]),
        ("/scenarios", ("scenarios", None), ["9999-12-31T23:59:59-23:59", str(scenario_id)]),
        ("/scenarios", ("scenarios", None), ["9999-12-31T23:59:59", str(scenario_id)]),
    ]
    for path, query, position in forged:
        response = await http.get(path, params={"cursor": make_cursor(position, query)})
        assert (response.status_code, response.json()["type"]) == (400, "/problems/bad-cursor"), position


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("limit=0", "limit", "at least 1"),
        ("limit=-1", "limit", "at least 1"),
        ("limit=1001", "limit", "at most 1000"),
        ("limit=ten", "limit", "must be a whole number, not a string"),
        ("limit=5&limit=6", None, "more than once"),
        ("from_frame=-1", "from_frame", "at least 0"),
        (f"from_frame={2**63}", "from_frame", "at most"),
        ("from_time=soon", "from_time", "must be a number"),
        ("from_time=nan", "from_time", "at least 0"),
        ("min_confidence=1.5", "min_confidence", "at most 1"),
        ("label=", "label", "at least 1 character."),
        ("label=a%00b", None, "NUL"),
        ("label=%ff", None, "UTF-8"),
        ("lable=cat", "lable", "is not known"),
    ],
)
async def test_a_wrong_parameter_is_named(
    http: httpx.AsyncClient, scenario_id: UUID, query: str, field: str | None, words: str
) -> None:
    response = await http.get(f"/scenarios/{scenario_id}/predictions?{query}")
    assert response.status_code == 400
    assert response.json().get("field") == field
    assert words in response.json()["detail"]


async def test_a_thousand_predictions_come_in_one_page(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    async with predictions.connection() as connection:
        await connection.execute(
            "INSERT INTO predictions SELECT $1, n, n / 30.0, E'a\\nb', $2, $3"
            " FROM generate_series(0, 1500) AS n",
            scenario_id,
            packed(0.5, 0.25),
            packed(1, 2, 3, 4, 5, 6, 7, 8),
        )
    page = (await http.get(f"/scenarios/{scenario_id}/predictions", params={"limit": 1000})).json()
    assert [item["frame"] for item in page["items"]] == list(range(1000))
    assert await frames(http, scenario_id, cursor=page["next_cursor"], limit=400) == list(range(1000, 1501))


async def add_crowds(predictions: Database, scenario_id: UUID, frames: int, *, label: str = "cat") -> None:
    """Store frames of CROWD detections: a dog with confidence 0.9, all others `label` with 0.5."""
    async with predictions.connection() as connection:
        await connection.execute(
            "INSERT INTO predictions SELECT $1, n, n / 30.0, $2, $3, $4 FROM generate_series(0, $5 - 1) AS n",
            scenario_id,
            "\n".join([label] * (CROWD - 1) + ["dog"]),
            packed(*[0.5] * (CROWD - 1), 0.9),
            packed(*range(4 * CROWD)),
            frames,
        )
        for found, confidence in ((label, 0.5), ("dog", 0.9), ("", 0.9)):
            await connection.execute(
                "INSERT INTO label_blocks VALUES ($1, $2, 0, $3)", scenario_id, found, confidence
            )


@pytest.mark.parametrize("state", ["active", "inactive"])
@pytest.mark.parametrize(
    ("query", "shown"),
    [({}, CROWD), ({"label": "cat"}, CROWD - 1), ({"label": "dog"}, 1), ({"min_confidence": 0.6}, 1)],
)
async def test_a_page_of_many_detections_ends_early_and_the_next_goes_on(
    http: httpx.AsyncClient,
    scenarios: Database,
    predictions: Database,
    query: dict[str, Any],
    shown: int,
    state: str,
) -> None:
    """Pages of a completed scenario are cached, so each is requested twice."""
    scenario_id = await add_scenario(scenarios, state=state)
    await add_crowds(predictions, scenario_id, 400)
    ends: list[int] = []
    seen: list[int] = []
    cursor = None
    while not ends or cursor is not None:
        given = {"limit": 1000, **query, **({"cursor": cursor} if cursor else {})}
        first, again = [
            await http.get(f"/scenarios/{scenario_id}/predictions", params=given) for _ in range(2)
        ]
        assert first.content == again.content
        page = first.json()
        assert {len(item["detections"]) for item in page["items"]} == {shown}
        seen += [item["frame"] for item in page["items"]]
        ends.append(len(page["items"]))
        cursor = page["next_cursor"]
    assert seen == list(range(400))
    each = 80 * CROWD + 4 * CROWD - 1  # bytes that are counted for a frame
    assert ends == [n := -(-MAX_PAGE // each), n, 400 - 2 * n]
    assert 40_000 < n * CROWD < 50_000


async def test_long_labels_or_a_limit_end_a_page_earlier(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_crowds(predictions, scenario_id, 40, label="\N{CAT FACE}" * 200)
    path = f"/scenarios/{scenario_id}/predictions"
    response = await http.get(path)
    assert len(response.content) < 1.1 * MAX_PAGE
    assert response.json()["next_cursor"]
    assert await frames(http, scenario_id) == list(range(40))
    page = (await http.get(path, params={"limit": 2})).json()
    assert [item["frame"] for item in page["items"]] == [0, 1]
    assert await frames(http, scenario_id, limit=2, to_frame=3) == [0, 1, 2]


async def test_a_page_has_at_least_one_frame_however_large(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    count = MAX_PAGE // 80
    for frame in range(3):
        await add_prediction(
            predictions,
            scenario_id,
            frame,
            labels="\n".join(["cat"] * count),
            confidences=packed(*[0.5] * count),
            boxes=packed(*[1] * 4 * count),
        )
    page = (await http.get(f"/scenarios/{scenario_id}/predictions")).json()
    assert [item["frame"] for item in page["items"]] == [0]
    assert await frames(http, scenario_id) == [0, 1, 2]

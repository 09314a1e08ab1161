"""Counts over the time of a video."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.api.queries import timeline
from app.postgres import Database
from tests.support.rows import MEDIA, add_checkpoint, add_prediction, add_scenario
from tests.support.timelines import fill_timeline


@pytest.fixture
async def scenario_id(scenarios: Database, predictions: Database) -> UUID:
    """Store two minutes, a frame each second: a person in the first half, a car at 31 and 90 seconds.

    The frame at 100 seconds failed.
    """
    scenario_id = await add_scenario(scenarios, media=MEDIA)
    await add_checkpoint(predictions, scenario_id, next_frame=30 * 120)
    for second in range(120):
        found = [("person", 0.5 + second / 1000)] if second < 60 else []
        found += [("car", 0.9)] * (second in (31, 90))
        error = "the frame could not be decoded" if second == 100 else None
        await add_prediction(predictions, scenario_id, 30 * second, *found, error=error)
    await fill_timeline(predictions, scenario_id)
    return scenario_id


async def get(http: httpx.AsyncClient, scenario_id: UUID, **query: Any) -> Any:
    response = await http.get(f"/scenarios/{scenario_id}/timeline", params=query)
    assert response.status_code == 200, response.text
    return response.json()


async def test_labels_are_counted_in_buckets(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    found = await get(http, scenario_id, bucket=60)
    assert found == {
        "bucket_seconds": 60.0,
        "from_time": 0.0,
        "to_time": 119.0,
        "is_complete": True,
        "all": [
            {"time": 0.0, "frames": 60, "detections": 61, "best_confidence": 0.9, "failed": 0},
            {"time": 60.0, "frames": 60, "detections": 1, "best_confidence": 0.9, "failed": 1},
        ],
        "labels": [
            {
                "label": "car",
                "buckets": [
                    {"time": 0.0, "frames": 1, "detections": 1, "best_confidence": 0.9},
                    {"time": 60.0, "frames": 1, "detections": 1, "best_confidence": 0.9},
                ],
            },
            {
                "label": "person",
                "buckets": [{"time": 0.0, "frames": 60, "detections": 60, "best_confidence": 0.559}],
            },
        ],
    }


@pytest.mark.parametrize("bucket", [1, 5, 15, 30])
async def test_short_and_long_buckets_agree(http: httpx.AsyncClient, scenario_id: UUID, bucket: int) -> None:
    found = await get(http, scenario_id, bucket=bucket)
    assert sum(each["frames"] for each in found["all"]) == 120
    assert [each["time"] for each in found["all"] if each["failed"]] == [100 // bucket * bucket]
    car, person = found["labels"]
    assert [each["time"] for each in car["buckets"]] == [31 // bucket * bucket, 90 // bucket * bucket]
    assert sum(each["detections"] for each in person["buckets"]) == 60


async def test_a_range_and_a_label_are_chosen(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    found = await get(http, scenario_id, bucket=1, from_time=30, to_time=33, label="car")
    assert (found["from_time"], found["to_time"]) == (30.0, 32.0)
    assert [each["time"] for each in found["all"]] == [30.0, 31.0, 32.0]
    assert [each["label"] for each in found["labels"]] == ["car"]
    coarse = await get(http, scenario_id, from_time=30, to_time=60, bucket=15)
    assert [each["time"] for each in coarse["all"]] == [30.0, 45.0]


async def test_without_a_bucket_one_is_chosen(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    assert (await get(http, scenario_id))["bucket_seconds"] == 1


async def test_nothing_is_counted_before_something_is_stored(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    for has_run in (False, True):
        scenario_id = await add_scenario(scenarios)
        if has_run:
            await add_checkpoint(predictions, scenario_id)
        found = await get(http, scenario_id)
        assert (found["all"], found["labels"], found["from_time"]) == ([], [], None)


async def test_it_says_so_while_earlier_predictions_are_not_counted(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id, next_frame=1)
    await add_prediction(predictions, scenario_id, 0, ("car", 0.9))
    assert not (await get(http, scenario_id, bucket=15))["is_complete"]
    found = await get(http, scenario_id, bucket=1)  # counted from the frames themselves
    assert found["is_complete"]
    assert [each["label"] for each in found["labels"]] == ["car"]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"bucket": 20}, "or a multiple of 15"),
        ({"bucket": 0.01}, "at least 0.1"),
        ({"bucket": 1, "from_time": "2026-01-31T09:30:00Z"}, "is a recording"),
        ({"width": 1}, "width"),
    ],
)
async def test_bad_parameters_are_refused(
    http: httpx.AsyncClient, scenario_id: UUID, query: dict[str, Any], says: str
) -> None:
    response = await http.get(f"/scenarios/{scenario_id}/timeline", params=query)
    assert response.status_code == 400
    assert says in response.json()["detail"]


@pytest.mark.parametrize(
    ("limit", "query", "says"),
    [
        ("MAX_BUCKETS", {"bucket": 15}, "a larger `bucket`, such as 1,"),
        ("MAX_FRAMES", {"bucket": 1}, "`bucket` of 15 seconds or more"),
        ("MAX_COUNTS", {"bucket": 1}, "send `label`"),
        ("MAX_COUNTS", {"bucket": 15}, "send `label`"),
    ],
)
async def test_an_answer_is_limited(
    http: httpx.AsyncClient,
    scenario_id: UUID,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    query: dict[str, Any],
    says: str,
) -> None:
    monkeypatch.setattr(timeline, limit, 5)
    response = await http.get(f"/scenarios/{scenario_id}/timeline", params=query)
    assert response.status_code == 400
    assert says in response.json()["detail"]


async def test_an_unknown_scenario_is_told(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/scenarios/{uuid4()}/timeline")).status_code == 404

"""Results as files: what was stored comes back, whatever the labels and however many videos."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec import Raw

from app.api.exports import formats, streams, videos
from app.api.exports.streams import PAGE
from app.domain.batch import BatchSpec, encode_batch
from app.domain.detector_config import Marker
from app.domain.media import Media
from app.domain.prediction import FrameSize
from app.domain.spec import ScenarioSpec
from app.postgres import Database
from tests.support.rows import (
    MEDIA,
    add_checkpoint,
    add_found,
    add_prediction,
    add_scenario,
    class_ids,
    packed,
)

HOSTILE = ['=cmd|"/C calc"!A0', "a;b,c", 'says "hi"', "ほげ 🚗", "<b>"]


@pytest.fixture
async def scenario_id(scenarios: Database, predictions: Database) -> UUID:
    """Store three frames: one with a followed car, one with nothing, one with hostile labels."""
    scenario_id = await add_scenario(scenarios, state="inactive", media=MEDIA)
    await add_checkpoint(
        predictions, scenario_id, next_frame=31, sizes=[FrameSize(0, 640, 360), FrameSize(30, 320, 180)]
    )
    boxes = packed(10.1, 20, 30, 40.25) + class_ids(2)
    await add_prediction(predictions, scenario_id, 0, ("car", 0.7), track_ids=[4], boxes=boxes)
    await add_prediction(predictions, scenario_id, 15)
    await add_prediction(predictions, scenario_id, 30, *((label, 0.5) for label in HOSTILE))
    await add_prediction(predictions, scenario_id, 31, ("later", 0.5))  # stored after the export began
    return scenario_id


async def export(http: httpx.AsyncClient, path: str, **query: Any) -> httpx.Response:
    answer = await http.get(f"{path}/export", params=query)
    assert answer.status_code == 200, answer.text
    return answer


async def rows(http: httpx.AsyncClient, path: str, **query: Any) -> list[dict[str, str]]:
    text = (await export(http, path, format="csv", **query)).content.decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def test_csv_has_a_row_for_each_detection(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    path = f"/scenarios/{scenario_id}"
    found = await rows(http, path)
    assert found[0] == {
        "scenario_id": str(scenario_id), "scenario": "front door", "frame": "0", "time": "0.0", "at": "",
        "label": "car", "confidence": "0.7", "x1": "10.1", "y1": "20.0", "x2": "30.0", "y2": "40.25",
        "track_id": "4", "class_id": "2", "width": "640", "height": "360",
    }  # fmt: skip
    assert [row["label"] for row in found[1:]] == HOSTILE
    assert (found[1]["width"], found[1]["track_id"], found[1]["class_id"]) == ("320", "", "")
    assert [row["label"] for row in await rows(http, path, label="a;b,c")] == ["a;b,c"]
    assert [row["label"] for row in await rows(http, path, min_confidence=0.6)] == ["car"]
    assert len(await rows(http, path, from_time=0.1)) == len(HOSTILE)
    answer = await export(http, path, format="csv", bom=True)
    assert answer.content.startswith(b"\xef\xbb\xbfscenario_id,")
    name = "front door-predictions.csv"
    assert answer.headers["content-disposition"].startswith(f'attachment; filename="{name}"')


def opened(answer: httpx.Response) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file."""
    from pyarrow import BufferReader, parquet

    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table: list[dict[str, Any]] = parquet.read_table(BufferReader(answer.content)).to_pylist()
    return table


def as_texts(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of Parquet as CSV has it."""
    texts = {name: "" if value is None else str(value) for name, value in row.items()}
    if row["at"] is not None:
        texts["at"] = row["at"].isoformat(timespec="milliseconds")
    return texts


@pytest.mark.parametrize("query", [{}, {"label": "a;b,c"}, {"min_confidence": 0.6}, {"what": "events"}])
async def test_parquet_has_the_rows_of_csv_with_their_types(
    http: httpx.AsyncClient,
    scenarios: Database,
    predictions: Database,
    scenario_id: UUID,
    query: dict[str, Any],
) -> None:
    recorded = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    dated = await add_scenario(
        scenarios, spec=ScenarioSpec("yard/a.mp4", Marker(), recorded_at=recorded), media=MEDIA
    )
    await add_checkpoint(predictions, dated, next_frame=31)
    for each in scenario_id, dated:
        await add_prediction(predictions, each, 29, ("a;b,c", 0.8), track_ids=[2**62])
        await add_found(predictions, each, 1, at=recorded, start_time=29 / 30, label=HOSTILE[2])
        path = f"/scenarios/{each}"
        answer = await export(http, path, format="parquet", **query)
        found = opened(answer)
        assert [as_texts(row) for row in found] == await rows(http, path, **query)
        assert found
        assert answer.headers["content-disposition"].endswith(".parquet")
    assert found[0]["at"].utcoffset() == timedelta(0)
    assert isinstance(found[0]["x1"], float)


async def test_parquet_is_written_a_group_of_rows_at_a_time(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import BufferReader
    from pyarrow.parquet import ParquetFile

    monkeypatch.setattr("app.api.exports.parquet.ROW_GROUP", 3)
    monkeypatch.setattr(streams, "PAGE", 1)
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id, next_frame=2 * PAGE + 7)
    assert opened(await export(http, f"/scenarios/{scenario_id}", format="parquet")) == []
    for frame in 0, 1, 2:
        await add_prediction(predictions, scenario_id, frame, ("car", 0.5), ("bus", 0.5))
    answer = await export(http, f"/scenarios/{scenario_id}", format="parquet")
    assert len(opened(answer)) == 6
    assert ParquetFile(BufferReader(answer.content)).num_row_groups == 2


async def test_parquet_says_which_package_it_needs(
    http: httpx.AsyncClient, scenario_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _name: None)
    for what in "predictions", "events":
        answer = await http.get(
            f"/scenarios/{scenario_id}/export", params={"format": "parquet", "what": what}
        )
        assert (answer.status_code, answer.json()["field"]) == (400, "format")
        assert "pip install 'videoanalysis[parquet]'" in answer.json()["detail"]


async def test_json_lines_have_each_sampled_frame(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    answer = await export(http, f"/scenarios/{scenario_id}", format="jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    stored = (await http.get(f"/scenarios/{scenario_id}/predictions", params={"to_frame": 31})).json()
    assert lines == [{"scenario_id": str(scenario_id), **item} for item in stored["items"]]


async def test_coco_has_each_picture_and_each_box(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    coco = (await export(http, f"/scenarios/{scenario_id}", format="coco")).json()
    assert [picture["id"] for picture in coco["images"]] == [1, 16, 31]
    assert coco["images"][2] == {
        "id": 31, "file_name": "clip.mp4/000000030.jpg", "width": 320, "height": 180, "video_id": 1,
        "frame_id": 30, "time": 1.0,
    }  # fmt: skip
    assert coco["annotations"][0] == {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [10.1, 20.0, 19.9, 20.25], "area": 402.975,
        "iscrowd": 0, "segmentation": [], "score": 0.7, "track_id": 4,
    }  # fmt: skip
    names = {category["id"]: category["name"] for category in coco["categories"]}
    assert [names[each["category_id"]] for each in coco["annotations"]] == ["car", *HOSTILE]
    assert [each["id"] for each in coco["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert coco["videos"] == [{"id": 1, "name": "front door", "scenario_id": str(scenario_id)}]


async def test_mot_counts_frames_and_pixels_from_one(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    lines = (await export(http, f"/scenarios/{scenario_id}", format="mot")).text.splitlines()
    assert lines[0] == "1,4,11.1,21.0,19.9,20.25,0.7,-1,-1,-1"
    assert lines[1].startswith("31,-1,")
    assert len(lines) == 6


async def test_events_are_exported_too(
    http: httpx.AsyncClient, scenario_id: UUID, predictions: Database
) -> None:
    await add_found(predictions, scenario_id, 1)
    await add_found(predictions, scenario_id, 2, kind="zone", name="the; yard", label=HOSTILE[0])
    path = f"/scenarios/{scenario_id}"
    found = await rows(http, path, what="events")
    assert [(row["event_id"], row["kind"], row["name"], row["label"]) for row in found] == [
        ("1", "object", "", "person"),
        ("2", "zone", "the; yard", HOSTILE[0]),
    ]
    assert (found[0]["start_time"], found[0]["x2"], found[0]["scenario"]) == ("1.0", "30.0", "front door")
    assert len(await rows(http, path, what="events", kind="zone")) == 1
    answer = await export(http, path, format="jsonl", what="events")
    events = (await http.get(f"{path}/events")).json()["items"]
    for event in events:
        del event["picture"]
    assert [json.loads(line) for line in answer.text.splitlines()] == events


async def test_times_of_the_day_are_told_if_they_are_known(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    recorded = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    spec = ScenarioSpec("yard/a.mp4", Marker(), recorded_at=recorded)
    dated = {"recorded_at": "2026-01-31T10:30:00+00:00"}  # changed after its creation
    live = Media(640, 360, live=True)
    for scenario_id, frame, at in [
        (await add_scenario(scenarios, spec=spec, media=MEDIA), 15, "2026-01-31T09:30:00.500+00:00"),
        (await add_scenario(scenarios, media=MEDIA, dated=dated), 30, "2026-01-31T10:30:01.000+00:00"),
        (await add_scenario(scenarios, media=live), 30, "1970-01-01T00:00:01.000+00:00"),
    ]:
        await add_checkpoint(predictions, scenario_id, next_frame=frame + 1)
        await add_prediction(predictions, scenario_id, frame, ("car", 0.5))
        [row] = await rows(http, f"/scenarios/{scenario_id}")
        assert row["at"] == at
        coco = (await export(http, f"/scenarios/{scenario_id}", format="coco")).json()
        assert coco["images"][0]["date_captured"] == at


async def test_a_long_export_is_whole(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    frames = 2 * PAGE + 7
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id, next_frame=frames)
    async with predictions.connection() as connection:
        await connection.execute(
            "INSERT INTO predictions (scenario_id, frame, time, labels, confidences, boxes)"
            " SELECT $1, n, n / 30.0, 'car', $2, $3 FROM generate_series(0, $4::bigint - 1) AS n",
            scenario_id,
            packed(0.5),
            packed(1, 2, 3, 4),
            frames,
        )
    assert [row["frame"] for row in await rows(http, f"/scenarios/{scenario_id}")] == [
        str(frame) for frame in range(frames)
    ]
    coco = (await export(http, f"/scenarios/{scenario_id}", format="coco")).json()
    assert [each["image_id"] for each in coco["annotations"]] == list(range(1, frames + 1))
    assert [each["id"] for each in coco["annotations"]] == list(range(1, frames + 1))
    assert len(coco["images"]) == frames


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"format": "coco", "what": "events"}, "format"),
        ({"format": "csv", "what": "events", "min_confidence": 0.5}, "min_confidence"),
        ({"format": "csv", "kind": "zone"}, "kind"),
        ({"format": "jsonl", "bom": "true"}, "bom"),
        ({"format": "csv", "from_time": "2026-01-31T09:30:00Z"}, "from_time"),
        ({"format": "pdf"}, "format"),
        ({}, "format"),
    ],
)
async def test_what_has_no_meaning_is_refused(
    http: httpx.AsyncClient, scenario_id: UUID, query: dict[str, Any], field: str
) -> None:
    answer = await http.get(f"/scenarios/{scenario_id}/export", params=query)
    assert answer.status_code == 400
    assert answer.json()["field"] == field


@pytest.fixture
async def batch(scenarios: Database, predictions: Database) -> UUID:
    """Store a batch of 102 videos; the last two are of the same path, and the very last has no frames."""
    batch_id = uuid4()
    async with scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO batches (id, spec, name, watch, at_once) VALUES ($1, $2, 'the yard', false, 4)",
            batch_id,
            Raw(encode_batch(BatchSpec("yard/*.mp4", Raw(b'{"detector":{"type":"marker"}}')))),
        )
    for number in range(102):
        spec = ScenarioSpec(f"yard/{min(number, 100)}.mp4", Marker())
        scenario_id = await add_scenario(scenarios, spec=spec, age=1000 - number, batch_id=batch_id)
        if number in (0, 100):
            await add_checkpoint(predictions, scenario_id, next_frame=8, next_event_id=2)
            await add_prediction(predictions, scenario_id, 7, ("car", 0.5))
            await add_found(predictions, scenario_id, 1)
    return batch_id


async def test_a_batch_is_one_file(http: httpx.AsyncClient, batch: UUID) -> None:
    path = f"/batches/{batch}"
    assert [row["scenario"] for row in await rows(http, path)] == ["yard/0.mp4", "yard/100.mp4"]
    assert len(await rows(http, path, what="events")) == 2
    for what in "predictions", "events":
        found = opened(await export(http, path, format="parquet", what=what))
        assert [row["scenario"] for row in found] == ["yard/0.mp4", "yard/100.mp4"]
    coco = (await export(http, path, format="coco")).json()
    assert [(picture["id"], picture["file_name"]) for picture in coco["images"]] == [
        (8, "yard/0.mp4/000000007.jpg"),
        (100_000_000_008, "yard/100.mp4/000000007.jpg"),
    ]
    assert [each["image_id"] for each in coco["annotations"]] == [8, 100_000_000_008]
    refused = await http.get(f"{path}/export", params={"format": "mot"})
    assert (refused.status_code, "export as mot_zip" in refused.json()["detail"]) == (400, True)
    assert (await http.get(f"/batches/{uuid4()}/export", params={"format": "csv"})).status_code == 404


@pytest.mark.parametrize(
    ("query", "read", "told"),
    [
        ({}, 2, 2),
        ({"label": "car", "min_confidence": "0.5"}, 2, 2),
        ({"label": "cat"}, 0, 0),
        ({"min_confidence": "0.6"}, 0, 0),
        ({"what": "events"}, 2, 2),
    ],
)
async def test_scenarios_of_which_nothing_is_told_cost_no_query_each(
    http: httpx.AsyncClient,
    batch: UUID,
    monkeypatch: pytest.MonkeyPatch,
    query: dict[str, str],
    read: int,
    told: int,
) -> None:
    calls: list[str] = []
    for module, name in (
        (videos, "find_end"),
        (videos, "locate_frames"),
        (streams, "read_rows"),
        (streams, "list_events"),
    ):
        function = getattr(module, name)

        def counted(*arguments: object, name: str = name, function: Any = function) -> Any:
            calls.append(name)
            return function(*arguments)

        monkeypatch.setattr(module, name, counted)
    assert len(await rows(http, f"/batches/{batch}", **query)) == told
    assert calls == ["list_events" if "what" in query else "read_rows"] * read


async def test_half_an_export_is_not_taken_for_a_whole_one(
    http: httpx.AsyncClient, scenario_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object) -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(streams, "read_rows", fail)
    with pytest.raises(Exception, match="after response started"):  # so the server breaks the connection
        await http.get(f"/scenarios/{scenario_id}/export", params={"format": "csv"})

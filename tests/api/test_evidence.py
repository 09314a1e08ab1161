"""Pictures of events over HTTP."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import cv2
import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from app.detectors.image_picture import ImagePicture
from app.detectors.marker import MarkerDetector
from app.domain.detector_config import Marker, Stored
from app.domain.pins import Pins
from app.postgres import Database
from app.predictions.checkpoint import Footage
from app.video.drawing import encode_jpeg
from app.video.identity import identify
from tests.api.conftest import Start, connected
from tests.api.event_reader import reading
from tests.support import clips
from tests.support.rows import (
    BEGIN,
    SPEC,
    add_checkpoint,
    add_found,
    add_picture,
    add_prediction,
    add_scenario,
)

JPEG = bytes(range(256)) * 100
BOX = [600.0, 300.0, 1500.0, 750.0]


@pytest.fixture
async def scenario_id(scenarios: Database, predictions: Database) -> UUID:
    """Store an object with a picture, an alert without one, and other events of a live source."""
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id, live=True)
    await add_found(predictions, scenario_id, 1, at=BEGIN)
    await add_found(predictions, scenario_id, 2, kind="alert", name="visitor", at=BEGIN)
    await add_found(predictions, scenario_id, 3, state="open", at=BEGIN)
    await add_found(predictions, scenario_id, 4, kind="zone", name="yard", at=BEGIN)
    await add_picture(predictions, scenario_id, 1, 40, JPEG)
    return scenario_id


def path(scenario_id: UUID, event_id: object) -> str:
    return f"/scenarios/{scenario_id}/events/{event_id}/picture.jpg"


async def test_the_picture_of_an_event_is_shown(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    response = await http.get(path(scenario_id, 1))
    assert response.status_code == 200, response.text
    assert response.content == JPEG
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_picture_that_the_client_has_is_not_sent_again_until_there_is_a_better_one(
    http: httpx.AsyncClient, scenario_id: UUID, predictions: Database
) -> None:
    url = path(scenario_id, 1)
    tag = (await http.get(url)).headers["etag"]
    same = await http.get(url, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    await add_picture(predictions, scenario_id, 1, 50, b"better")
    other = await http.get(url, headers={"If-None-Match": tag})
    assert (other.status_code, other.content) == (200, b"better")
    assert other.headers["etag"] != tag


@pytest.mark.parametrize(
    ("event_id", "text"),
    [
        (2, "VA_EVIDENCE_MAX_GB"),
        (3, "no picture yet"),
        (4, "of the kind `zone`"),
        (5, "no event 5"),
        (0, "no event 0"),
        (-1, "no event -1"),
        (2**63, "no event 9223372036854775808"),
        ("x", "no such path"),
    ],
)
async def test_a_sentence_says_why_there_is_no_picture(
    http: httpx.AsyncClient, scenario_id: UUID, event_id: object, text: str
) -> None:
    response = await http.get(path(scenario_id, event_id))
    assert response.status_code == 404
    assert text in response.json()["detail"]


async def test_deleted_and_unknown_scenarios_have_none(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    deleted = await add_scenario(scenarios, state="inactive", deleted_at=BEGIN)
    await add_checkpoint(predictions, deleted, live=True)
    await add_found(predictions, deleted, 1, at=BEGIN)
    await add_picture(predictions, deleted, 1, 40)
    for unknown in (deleted, uuid4()):
        response = await http.get(path(unknown, 1))
        assert response.status_code == 404
        assert "no scenario" in response.json()["detail"]


@pytest.fixture
async def recording(scenarios: Database, predictions: Database, tmp_path: Path) -> UUID:
    """Store a visit to a zone that is seen best in frame 15 of a clip; the frames 0 and 15 are stored."""
    clip = clips.marker_clip(tmp_path / "clip.mp4", frames=20, size=(1920, 1080), gop=10)
    recording = await add_scenario(scenarios)
    sizes = [{"frame": 0, "width": 1920, "height": 1080}]
    await add_checkpoint(predictions, recording, pins=Pins(identify(clip)), sizes=sizes, eligible="all")
    for frame in (0, 15):
        await add_prediction(predictions, recording, frame)
    visit = {"kind": "zone", "name": "yard", "start_time": 0.4, "best_frame": 15, "best_box": BOX}
    await add_found(predictions, recording, 1, **visit)
    return recording


@pytest.fixture
async def asking(scenarios: Database, predictions: Database, recording: UUID) -> UUID:
    """Store another visit, which was found in what the recording has stored."""
    asking = await add_scenario(
        scenarios, spec=replace(SPEC, source=f"scenario:{recording}", detector=Stored())
    )
    sizes = [{"frame": 0, "width": 1920, "height": 1080}]
    footage = Footage(recording, 0, 16, 0.5)
    await add_checkpoint(predictions, asking, sizes=sizes, footage=footage)
    await add_found(predictions, asking, 1, kind="zone", name="door", start_time=0.4, best_frame=15)
    return asking


async def test_the_picture_of_a_recording_s_event_is_its_best_frame(
    start: Start, tmp_path: Path, recording: UUID, asking: UUID
) -> None:
    """Also if another scenario asks what it has stored."""
    async with start(media_root=tmp_path) as app, connected(app) as http:
        for scenario_id in (recording, asking):
            (event,) = (await http.get(f"/scenarios/{scenario_id}/events")).json()["items"]
            assert event["picture"] == {
                "path": path(scenario_id, 1),
                "frame": 15,
                "time": event["best_time"],
                "box": event["best_box"],
                "width": 1920,
                "height": 1080,
            }
            response = await http.get(event["picture"]["path"])
            assert response.status_code == 200, response.text
            image = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert image.shape[:2] == (720, 1280)
            found = MarkerDetector(Marker()).detect(ImagePicture(np.asarray(image, np.uint8)), 0)
            assert [each.label for each in found] == ["aruco:15"]
            tag = {"If-None-Match": response.headers["etag"]}
            assert (await http.get(path(scenario_id, 1), headers=tag)).status_code == 304


async def test_a_sentence_says_why_a_recording_shows_no_picture(
    http: httpx.AsyncClient, predictions: Database, scenarios: Database, recording: UUID, asking: UUID
) -> None:
    await add_found(predictions, recording, 2, best_frame=16)
    response = await http.get(path(recording, 2))
    assert (response.status_code, "Frame 16" in response.json()["detail"]) == (404, True)
    response = await http.get(path(recording, 1))
    assert (response.status_code, "VA_MEDIA_ROOT" in response.json()["detail"]) == (404, True)
    async with predictions.connection() as connection:
        await connection.execute("UPDATE checkpoints SET live = true WHERE scenario_id = $1", recording)
    response = await http.get(path(asking, 1))
    assert (response.status_code, "live source's" in response.json()["detail"]) == (404, True)
    async with scenarios.connection() as connection:
        await connection.execute(
            "UPDATE scenarios SET state = 'inactive', outcome = 'stopped', runner_id = NULL, boot_id = NULL,"
            " lease_renewed_at = NULL, deleted_at = now() WHERE id = $1",
            recording,
        )
    response = await http.get(path(asking, 1))
    assert (response.status_code, "was deleted" in response.json()["detail"]) == (410, True)


def drawn_on(plain: bytes, annotated: bytes) -> tuple[int, int, int, int]:
    """Return the box of the pixels that clearly differ: x1, y1, x2, y2."""
    one, two = (
        np.asarray(cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR))
        for each in (plain, annotated)
    )
    assert one.shape == two.shape
    rows, columns = np.nonzero(cv2.absdiff(one, two).max(axis=2) > 100)
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


async def test_the_event_s_own_box_and_label_are_drawn_on_a_recording(
    start: Start, tmp_path: Path, recording: UUID
) -> None:
    """And nothing of what else was found in the frame, which is in its corner."""
    async with start(media_root=tmp_path) as app, connected(app) as http:
        plain = await http.get(path(recording, 1))
        annotated = await http.get(path(recording, 1), params={"annotated": "true"})
        assert annotated.status_code == 200, annotated.text
        assert annotated.headers["etag"] != plain.headers["etag"]
        x1, y1, x2, y2 = drawn_on(plain.content, annotated.content)
        assert (x1, x2, y2) == pytest.approx((400, 1000, 500), abs=4)
        assert 150 < y1 < 200  # the label, above the box
        small = await http.get(path(recording, 1), params={"width": 320})
        assert size_of(small.content) == (320, 180)
        assert small.headers["etag"] != plain.headers["etag"]
        refused = await http.get(path(recording, 1), params={"annotated": "maybe"})
        assert refused.status_code == 400


async def test_the_event_s_box_is_drawn_on_the_picture_of_a_live_source(
    http: httpx.AsyncClient, scenario_id: UUID, predictions: Database
) -> None:
    stored = encode_jpeg(np.zeros((540, 960, 3), np.uint8), 80)
    await add_picture(predictions, scenario_id, 1, 40, stored, BOX)
    plain = await http.get(path(scenario_id, 1))
    assert plain.content == stored
    annotated = await http.get(path(scenario_id, 1), params={"annotated": "true"})
    assert annotated.status_code == 200, annotated.text
    x1, _, x2, y2 = drawn_on(stored, annotated.content)
    assert (x1, x2, y2) == pytest.approx((300, 750, 375), abs=4)
    tag = {"If-None-Match": annotated.headers["etag"]}
    for wish, status in (("true", 304), ("false", 200)):
        again = await http.get(path(scenario_id, 1), params={"annotated": wish}, headers=tag)
        assert again.status_code == status


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Return the width and height of a JPEG."""
    height, width = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)).shape[:2]
    return int(width), int(height)


async def test_the_picture_of_a_live_source_s_event_is_small_if_asked_and_never_enlarged(
    http: httpx.AsyncClient, scenario_id: UUID, predictions: Database
) -> None:
    stored = encode_jpeg(np.zeros((540, 960, 3), np.uint8), 80)
    await add_picture(predictions, scenario_id, 1, 40, stored, BOX)
    tags = {(await http.get(path(scenario_id, 1))).headers["etag"]}
    for width, size in ((240, (240, 135)), (300, (300, 169)), (700, (700, 394))):
        small = await http.get(path(scenario_id, 1), params={"width": width})
        assert (small.status_code, size_of(small.content)) == (200, size)
        tags.add(small.headers["etag"])
        same = {"If-None-Match": small.headers["etag"]}
        again = await http.get(path(scenario_id, 1), params={"width": width}, headers=same)
        assert again.status_code == 304
    assert len(tags) == 4
    assert (await http.get(path(scenario_id, 1), params={"width": 1920})).content == stored
    annotated = await http.get(path(scenario_id, 1), params={"width": 240, "annotated": "true"})
    plain = await http.get(path(scenario_id, 1), params={"width": 240})
    x1, _, _, y2 = drawn_on(plain.content, annotated.content)  # the label is wider than the box
    assert (x1, y2) == pytest.approx((75, 94), abs=4)


@pytest.mark.parametrize(
    ("width", "text"),
    [("15", "16"), ("1921", "1920"), ("wide", "must be a whole number")],
)
async def test_a_sentence_says_which_widths_a_picture_can_have(
    http: httpx.AsyncClient, scenario_id: UUID, width: str, text: str
) -> None:
    refused = await http.get(path(scenario_id, 1), params={"width": width})
    assert (refused.status_code, text in refused.json()["detail"]) == (400, True), refused.text
    assert "width" in refused.json()["detail"]


def pictures(page: Any) -> dict[int, Any]:
    return {item["event_id"]: item["picture"] for item in page["items"]}


async def test_events_tell_where_their_picture_is_and_what_it_shows(
    start: Start, scenario_id: UUID, predictions: Database
) -> None:
    picture = {
        "path": f"/video/scenarios/{scenario_id}/events/1/picture.jpg",
        "frame": 40,
        "time": 40 / 30,
        "box": [1.0, 2.0, 3.5, 4.0],
        "width": 1920,
        "height": 1080,
    }
    async with start(path_prefix="/video") as app, connected(app) as http:
        for url in (f"/scenarios/{scenario_id}/events", "/events", "/events?from_time=2026-01-01T00:00:00Z"):
            page = (await http.get(url)).json()
            assert pictures(page) == {1: picture, 2: None, 3: None, 4: None}


async def test_streams_tell_of_pictures(url: str, scenario_id: UUID, predictions: Database) -> None:
    async with reading(url) as reader:
        await reader.next("progress")
        async with predictions.transaction():
            await add_found(predictions, scenario_id, 7, state="open", at=BEGIN)
        await reader.next("event")
        await add_picture(predictions, scenario_id, 7, 300)
        async with predictions.connection() as connection:
            await connection.execute("UPDATE events SET state = 'ended' WHERE event_id = 7")
        ended = await reader.next("event")
        assert ended["picture"]["path"] == path(scenario_id, 7)
        async with httpx.AsyncClient(base_url=url) as http:
            assert (await http.get(ended["picture"]["path"])).content == b"jpeg"

"""Pictures of stored frames over HTTP."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import cv2
import httpx
import numpy as np
import pytest
from msgspec.structs import replace

from app.api import recorded_pictures
from app.domain.analysis import Line, Zone
from app.domain.pins import Pins
from app.postgres import Database
from app.video.identity import identify
from app.video.lookup.protocol import FrameJob
from tests.api.conftest import Start, connected
from tests.support import clips
from tests.support.rows import SPEC, add_checkpoint, add_prediction, add_scenario, packed

SIZE = (320, 240)
STORED = (0, 15, 30, 45)
LABEL = "<b>%s \x7f\u202e" + "漢" * 400


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    clips.marker_clip(folder / "clip.mp4", frames=50, size=SIZE, gop=20)
    return folder


@pytest.fixture
async def http(
    start: Start, media: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    # A busy machine may take longer than the five seconds of users.
    monkeypatch.setattr(recorded_pictures, "FrameJob", partial(FrameJob, seconds=60.0))
    async with start(media_root=media) as app, connected(app) as client:
        yield client


@pytest.fixture
async def scenario_id(scenarios: Database, predictions: Database, media: Path) -> UUID:
    return await add_recording(scenarios, predictions, media)


async def add_recording(
    scenarios: Database, predictions: Database, media: Path, source: str = "clip.mp4", **columns: Any
) -> UUID:
    """Store a scenario of which two frames a second were sampled; the last could not be decoded."""
    zone = Zone("\x7f" * 50 + "ü", ((0.0, 0.0), (1.0, 0.0), (0.5, 1.0)))
    spec = replace(SPEC, source=source, zones=(zone,), lines=(Line("door", (0.1, 0.9), (0.9, 0.1)),))
    scenario_id = await add_scenario(scenarios, spec=spec)
    pins = Pins(identify(media / "clip.mp4"))
    sizes = [{"frame": 0, "width": SIZE[0], "height": SIZE[1]}]
    values = {"pins": pins, "sizes": sizes, "eligible": "all"} | columns
    await add_checkpoint(predictions, scenario_id, **values)
    for frame in STORED[:-1]:
        boxes = packed(10, 20, 30, 40, float("inf"), -1e30, 1e30, float("nan"))
        found = ((LABEL, 0.5), ("car", 0.4))
        await add_prediction(predictions, scenario_id, frame, *found, boxes=boxes, track_ids=[7, None])
    await add_prediction(predictions, scenario_id, STORED[-1], error="the frame could not be decoded")
    return scenario_id


def picture(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/jpeg"
    return cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_COLOR)


def marker(response: httpx.Response) -> int:
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    _, ids, _ = detector.detectMarkers(picture(response))
    return int(ids[0][0])


async def test_a_stored_frame_is_shown_by_number_and_by_time(
    http: httpx.AsyncClient, scenario_id: UUID
) -> None:
    url = f"/scenarios/{scenario_id}/frame.jpg"
    for query, frame in (
        ({"frame": 15}, 15), ({"time": 0.5}, 15), ({"time": 0.999}, 15), ({"time": 1}, 30), ({"time": 0}, 0),
    ):  # fmt: skip
        response = await http.get(url, params=query)
        assert marker(response) == frame, query
        assert response.headers["frame-number"] == str(frame)
        assert float(response.headers["frame-time"]) == frame / 30


async def test_a_picture_is_made_smaller_but_never_larger(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    url = f"/scenarios/{scenario_id}/frame.jpg?frame=15"
    for width, shape in ((64, (48, 64, 3)), (1920, (240, 320, 3))):
        assert picture(await http.get(f"{url}&width={width}")).shape == shape


async def test_an_annotated_picture_shows_what_was_found(http: httpx.AsyncClient, scenario_id: UUID) -> None:
    url = f"/scenarios/{scenario_id}/frame.jpg?frame=15"
    plain, drawn = picture(await http.get(url)), picture(await http.get(f"{url}&annotated=true"))
    changed = np.abs(plain.astype(int) - drawn).max(axis=2) > 40
    assert changed[38:42, 12:28].any(axis=0).all()  # the lower edge of the box
    assert changed[118:122, 150:170].any()  # the line, in the middle of the picture
    assert not changed[110:140, 5:40].any()


async def test_a_client_that_has_the_picture_gets_it_once(
    http: httpx.AsyncClient, scenario_id: UUID, media: Path
) -> None:
    url = f"/scenarios/{scenario_id}/frame.jpg?frame=15"
    first = await http.get(url)
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await http.get(url, headers={"If-None-Match": condition})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), condition
        assert again.headers["frame-number"] == "15"
    tags = {tag, (await http.get(f"{url}&width=64")).headers["etag"]}
    tags |= {(await http.get(f"{url}&annotated=true")).headers["etag"]}
    tags |= {(await http.get(url.replace("15", "30"))).headers["etag"]}
    assert len(tags) == 4
    assert (await http.get(url, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_what_has_no_picture_is_told(
    http: httpx.AsyncClient, scenario_id: UUID, scenarios: Database, predictions: Database, media: Path
) -> None:
    async def problem(query: str, of: UUID = scenario_id) -> tuple[int, str]:
        response = await http.get(f"/scenarios/{of}/frame.jpg?{query}")
        return response.status_code, response.json()["detail"]

    assert await problem("frame=16") == (404, "Frame 16 is not stored; the nearest ones are 15 and 30.")
    assert await problem("frame=99") == (404, "Frame 99 is not stored; the nearest one is 45.")
    assert await problem("") == (409, "Frame 45 has no picture: the frame could not be decoded.")
    assert (await problem("frame=1", uuid4()))[0] == 404
    assert "No frame" in (await problem("", await add_scenario(scenarios)))[1]
    dropped = await add_recording(scenarios, predictions, media, dropped=True)
    assert (await problem("frame=15", dropped))[0] == 404
    live = await add_recording(scenarios, predictions, media, live=True)
    assert (await problem("frame=15", live))[0] == 409


@pytest.mark.parametrize(
    "query",
    ["frame=-1", "frame=1.5", "frame=99999999999999999999", "time=-1", "time=nan", "time=inf", "width=15",
     "width=1921", "width=x", "annotated=2", "annotated=", "quality=1", "frame=0&frame=1", "frame=1&time=1",
     "frame=%00"],
)  # fmt: skip
async def test_hostile_parameters_are_refused(http: httpx.AsyncClient, scenario_id: UUID, query: str) -> None:
    response = await http.get(f"/scenarios/{scenario_id}/frame.jpg?{query}")
    assert response.status_code == 400, response.text


async def test_another_file_under_the_name_is_never_shown(
    start: Start, scenarios: Database, predictions: Database, media: Path, tmp_path: Path
) -> None:
    scenario_id = await add_recording(scenarios, predictions, media)
    url = f"/scenarios/{scenario_id}/frame.jpg?frame=15"
    clips.marker_clip(tmp_path / "clip.mp4", frames=51, size=SIZE, gop=20)
    async with start(media_root=tmp_path) as app, connected(app) as client:
        response = await client.get(url)
        assert response.status_code == 409
        assert "Frame 15 cannot be shown: the recording is another one" in response.json()["detail"]
        (tmp_path / "clip.mp4").unlink()
        response = await client.get(url)
        assert response.status_code == 404
        assert "mount the folder of the runners there" in response.json()["detail"]
        (tmp_path / "clip.mp4").symlink_to(media / "clip.mp4")
        response = await client.get(url)
        assert response.status_code == 404
        assert "leads outside the media root" in response.json()["detail"]
    async with start(media_root=tmp_path / "none") as app, connected(app) as client:
        response = await client.get(url)
        assert response.status_code == 404
        assert "The media root does not exist" in response.json()["detail"]

"""Sources that are tried before a scenario is created."""

from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from app.domain.networks import Networks
from tests.api.conftest import Start, connected
from tests.support import clips


@pytest.fixture
async def http(start: Start, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    clips.marker_clip(tmp_path / "clip.mp4", frames=10, size=(1280, 720))
    (tmp_path / "notes.mp4").write_text("no video")
    networks = Networks("public")
    async with start(media_root=tmp_path, source_networks=networks) as app, connected(app) as client:
        yield client


@pytest.mark.parametrize(
    ("source", "size", "live"),
    [("clip.mp4", (1280, 720), False), ("test:testsrc2?size=320x180&live=true", (320, 180), True)],
)
async def test_a_source_shows_its_first_picture(
    http: httpx.AsyncClient, source: str, size: tuple[int, int], live: bool
) -> None:
    response = await http.post("/sources/try", json={"source": source})
    assert response.status_code == 200, response.text
    found = response.json()
    assert found["source"] == source
    assert (found["media"]["width"], found["media"]["height"], found["media"]["live"]) == (*size, live)
    image = cv2.imdecode(np.frombuffer(b64decode(found["picture"]), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[1] == min(size[0], 640)


@pytest.mark.parametrize(
    ("source", "part"),
    [("none.mp4", "The source cannot be opened: no file 'none.mp4' under the media root"),
     ("notes.mp4", "notes.mp4 is not a video"), ("../clip.mp4", "The path contains '..'"),
     ("rtsp://admin:hush@127.0.0.1/live", "127.0.0.1"), ("ftp://host/clip.mp4", "are not allowed"),
     ("scenario:0d6d5646-c83d-4420-9d70-5bad11a36921", "The footage of a scenario is not tried")],
)  # fmt: skip
async def test_the_reason_is_told_if_it_cannot_be_opened(
    http: httpx.AsyncClient, source: str, part: str
) -> None:
    response = await http.post("/sources/try", json={"source": source})
    assert response.status_code == 422
    assert part in response.json()["detail"]
    assert "hush" not in response.text


async def test_another_source_waits_for_its_turn(http: httpx.AsyncClient) -> None:
    processes = http._transport.app.app.state.picture_processes  # type: ignore[attr-defined]
    async with processes.trials:
        response = await http.post("/sources/try", json={"source": "clip.mp4"})
        assert response.status_code == 503
    assert (await http.post("/sources/try", json={"source": "clip.mp4"})).status_code == 200
    assert (await http.post("/sources/try", json={"source": ""})).status_code == 422
    assert (await http.post("/sources/try", json={"source": "clip.mp4", "trak": 1})).status_code == 422

"""The sample recording: written once, complete, with what its scenario finds."""

from pathlib import Path

import av
import httpx
import numpy as np

from app.detectors.image_picture import ImagePicture
from app.detectors.marker import MarkerDetector
from app.domain.detector_config import Marker
from tests.api.conftest import Start, connected


async def test_the_sample_is_written_once_and_can_be_analysed(start: Start, tmp_path: Path) -> None:
    async with start(media_root=tmp_path) as app, connected(app) as http:
        body = (await http.post("/sample")).json()
        (clip,) = list(tmp_path.iterdir())  # noqa: ASYNC240 - no hidden file is left
        written = clip.read_bytes()
        assert (await http.post("/sample")).json() == body
        assert clip.read_bytes() == written
        assert body["source"] == clip.name
        created = await http.post("/scenarios", json=body)
        assert created.status_code == 201, created.text
    labels, detector = set[str](), MarkerDetector(Marker())
    with av.open(str(clip)) as container:
        assert container.streams.video[0].codec_context.name == "h264"  # which browsers play
        for number, frame in enumerate(container.decode(video=0)):
            if number % 50 == 0:
                picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                labels |= {each.label for each in detector.detect(ImagePicture(picture), number)}
        assert number == 299
    assert labels == {"aruco:7", "aruco:21", "aruco:42"}


async def test_a_folder_that_cannot_be_written_to_is_told(start: Start, tmp_path: Path) -> None:
    async with start(media_root=tmp_path / "missing") as app, connected(app) as http:
        answer: httpx.Response = await http.post("/sample")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/no-sample")
    assert "No such file or directory. Let the service write there (VA_MEDIA_ROOT)" in answer.json()["detail"]

"""Each bad input gets an error that says what to do, and the service continues unharmed."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.clips import audio_only_clip, marker_clip, text_as_mp4, truncate
from tests.support.service import Json, ServiceProcess, running_for_tests

MARKER = {"type": "marker"}
MOCK = {"type": "mock"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media good and bad, models, and a video outside both."""
    folder = tmp_path_factory.mktemp("bad")
    media, models = folder / "media", folder / "models"
    media.mkdir()
    models.mkdir()
    marker_clip(media / "good.mp4", frames=30)
    marker_clip(media / "long.mp4", frames=300, muxer_options={"movflags": "faststart"})
    truncate(media / "long.mp4", 0.4, media / "truncated.mp4")
    text_as_mp4(media / "text.mp4")
    audio_only_clip(media / "sound.mp4")
    (folder / "secret.mp4").write_bytes((media / "good.mp4").read_bytes())
    (media / "link.mp4").symlink_to(folder / "secret.mp4")
    os.mkfifo(media / "pipe.mp4")
    (media / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:1,\n{folder}/secret.mp4\n#EXT-X-ENDLIST\n")
    (models / "not-a-model.onnx").write_text("no model at all")
    return folder


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[ServiceProcess]:
    roots = {"media_root": folder / "media", "model_root": folder / "models"}
    with running_for_tests(tmp_path_factory.mktemp("service"), **roots) as service:
        yield service


@pytest.fixture
async def service(started: ServiceProcess) -> AsyncIterator[ServiceProcess]:
    """Yield a service that still works after the test, and logged no traceback."""
    async with started.joined() as service:
        yield service
        assert await service.is_ready()
        scenario_id = await service.create("good.mp4", MARKER, sampling={"mode": "all"})
        assert (await service.ends(scenario_id))["outcome"] == "completed"
        assert "Traceback" not in service.log.read_text()


async def test_sources_and_models_that_cannot_be_used_fail_at_once_and_say_why(
    service: ServiceProcess,
) -> None:
    cases: list[tuple[str, Json, str]] = [
        ("missing.mp4", MARKER, "missing.mp4"),
        ("text.mp4", MARKER, "not a video"),
        ("sound.mp4", MARKER, "no video stream"),
        ("link.mp4", MARKER, "outside"),
        ("pipe.mp4", MARKER, "not a file"),
        ("list.m3u8", MARKER, "list.m3u8"),
        ("good.mp4", {"type": "onnx", "model": "missing.onnx"}, "missing.onnx"),
        ("good.mp4", {"type": "onnx", "model": "not-a-model.onnx"}, "not-a-model.onnx"),
        ("good.mp4", {"type": "onnx", "model": "../models/not-a-model.onnx"}, "model"),
    ]
    for source, detector, words in cases:
        scenario = await service.ends(await service.create(source, detector))
        assert scenario["outcome"] == "failed", source
        assert words in scenario["error"], scenario["error"]
        assert scenario["attempt"] == 1, "nothing that cannot help is tried again"
        assert "\n" not in scenario["error"]


async def test_a_truncated_video_is_stored_as_far_as_it_goes(service: ServiceProcess) -> None:
    scenario_id = await service.create("truncated.mp4", MARKER, sampling={"mode": "all"})
    scenario = await service.ends(scenario_id)
    assert (scenario["outcome"], scenario["error"]) == ("completed", None)
    frames = [prediction["frame"] for prediction in await service.predictions(scenario_id)]
    assert len(frames) > 50
    assert frames == list(range(len(frames)))
    (warning,) = scenario["warnings"]
    assert (warning["code"], warning["frame"]) == ("ends_early", len(frames))
    assert f"frame {len(frames) - 1} of 300" in warning["text"]


REFUSED: list[tuple[object, str]] = [
    ({"source": "../secret.mp4", "detector": MOCK}, ".."),
    ({"source": "/etc/passwd", "detector": MOCK}, "media root"),
    ({"source": "concat:a.mp4|b.mp4", "detector": MOCK}, "concat"),
    ({"source": "file:///etc/passwd", "detector": MOCK}, "file"),
    ({"source": "subfile,,start,0,end,9,,:a.mp4", "detector": MOCK}, "subfile"),
    ({"source": "data:video/mp4;base64,AAAA", "detector": MOCK}, "data"),
    ({"source": "test:movie=/etc/passwd", "detector": MOCK}, "test"),
    ({"source": "good.mp4", "detector": {"type": "telepathy"}}, "telepathy"),
    ({"source": "good.mp4", "detector": MOCK, "sampling": {"mode": "fps", "fps": -1}}, "fps"),
    ({"source": "good.mp4", "detector": MOCK, "sampling": {"mode": "fps", "fps": 0}}, "fps"),
    ({"source": "good.mp4", "detector": MOCK, "colour": "red"}, "colour"),
    ({"source": "good.mp4", "detector": MOCK, "restart": {"policy": "always"}}, "always"),
    ({"detector": MOCK}, "source"),
    ([], "object"),
]


async def test_requests_that_make_no_sense_are_refused_before_anything_is_stored(
    service: ServiceProcess,
) -> None:
    before = (await service.http.get("/scenarios")).json()
    for body, words in REFUSED:
        answer = await service.http.post("/scenarios", json=body)
        assert answer.status_code in (400, 422), answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert words in answer.json()["detail"], answer.text
    assert (await service.http.get("/scenarios")).json() == before


async def test_bodies_that_are_no_requests_are_refused(service: ServiceProcess) -> None:
    huge = await service.http.post("/scenarios", content=b"x" * 10_000_000, headers=JSON)
    assert huge.status_code == 413
    broken = await service.http.post("/scenarios", content=b'{"source": "a.mp4",', headers=JSON)
    assert broken.status_code == 400
    for answer in (huge, broken):
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert "Traceback" not in answer.text


async def test_a_cursor_of_another_query_is_refused(service: ServiceProcess) -> None:
    scenario_id = await service.create("good.mp4", MARKER, sampling={"mode": "all"})
    await service.ends(scenario_id)
    path = f"/scenarios/{scenario_id}/predictions"
    page = (await service.http.get(path, params={"limit": 5})).json()
    for query in ({"label": "aruco:1"}, {"from_frame": 3}):
        answer = await service.http.get(path, params={"cursor": page["next_cursor"], **query})
        assert answer.status_code == 400
        assert "cursor" in answer.json()["detail"]

"""Recordings that are uploaded: whole and checked under their name, or not there at all."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from anyio import Event

from app.api.http.middleware import RequestMiddleware
from app.api.routes import uploads
from app.domain.source import parse_source
from app.media import uploads as files
from app.media.uploads import UploadLimits
from app.settings import Settings
from app.video.files import find_file
from app.video.lookup.processes import PictureProcesses
from app.video.lookup.protocol import PictureResult
from tests.api.conftest import Start, connected, listening
from tests.support import clips
from tests.support.waiting import until
from tests.torture.media import bombs

LIMITS = UploadLimits(max_gb=0.05, min_free_gb=0.0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clips.marker_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=10).read_bytes()


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


@pytest.fixture
async def app(start: Start, media: Path) -> AsyncIterator[RequestMiddleware]:
    async with start(media_root=media, uploads=LIMITS) as app:
        yield app


def stored(media: Path) -> dict[str, bytes]:
    """Return what is in the folder of uploads, hidden files included."""
    return {each.name: each.read_bytes() for each in (media / "uploads").glob("*") if each.exists()}


async def put(
    http: httpx.AsyncClient, content: Any, name: str = "clip.mp4", **headers: str
) -> httpx.Response:
    return await http.put(f"/media/uploads/{name}", content=content, headers=headers)


def inside(media: Path) -> list[Path]:
    return list(media.rglob("*"))


def refused(response: httpx.Response, status: int, slug: str) -> str:
    problem = response.json()
    assert (response.status_code, problem["type"]) == (status, f"/problems/{slug}"), response.text
    detail: str = problem["detail"]
    return detail


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def test_an_uploaded_recording_can_be_analysed(
    http: httpx.AsyncClient, media: Path, clip: bytes
) -> None:
    for content in (clip, pieces(clip)):
        name = f"cam: {len(stored(media))} ü.mp4"
        response = await put(http, content, quote(name))
        assert response.status_code == 201, response.text
        found = response.json()
        assert (found["source"], found["size"]) == (f"./uploads/{name}", len(clip))
        told = [found["media"][each] for each in ("width", "height", "codec", "fps", "duration_seconds")]
        assert told == [320, 180, "h264", 30.0, pytest.approx(1 / 3, abs=0.01)]
        path = find_file(parse_source(found["source"]), media)
        assert path.read_bytes() == clip
        assert path.stat().st_nlink == 1
        created = await http.post(
            "/scenarios", json={"source": found["source"], "detector": {"type": "mock"}}
        )
        assert created.status_code == 201
        page = (await http.get("/media?folder=uploads")).json()
        assert page["max_upload_bytes"] == 50_000_000
        (item,) = [each for each in page["items"] if each["name"] == name]
        assert [each["id"] for each in item["scenarios"]] == [created.json()["id"]]
    assert not [name for name in stored(media) if name.startswith(".")]


HOSTILE = (
    ("..", "begins with a dot"), (".clip.mp4", "begins with a dot"), ("a\\b.mp4", "without / and"),
    ("a\0.mp4", "control characters"), ("a\n.mp4", "control characters"), ("a\x7f.mp4", "control characters"),
    ("a\x85.mp4", "control characters"), ("a\u2028.mp4", "control characters"),
    ("x" * 252 + ".mp4", "a name may have 255"), ("漢" * 84 + ".mp4", "a name may have 255"),
)  # fmt: skip


async def test_hostile_names_are_refused(http: httpx.AsyncClient, media: Path, clip: bytes) -> None:
    for name, part in HOSTILE:
        response = await put(http, clip, quote(name).replace(".", "%2E"))
        assert part in refused(response, 422, "invalid"), name
    for path in ("%2E%2E%2Fclip.mp4", "a/clip.mp4", "%2Fetc%2Fclip.mp4", ""):
        assert (await put(http, clip, path)).status_code in (404, 405), path
    assert not (await put(http, clip, "a%FF.mp4")).is_success
    assert not inside(media)


async def test_the_longest_names_are_stored(http: httpx.AsyncClient, media: Path, clip: bytes) -> None:
    for name in ("x" * 251 + ".mp4", "漢" * 83 + "x.mp4"):
        assert (await put(http, clip, quote(name))).status_code == 201
        assert stored(media)[name] == clip


async def test_what_is_no_video_is_not_stored(
    http: httpx.AsyncClient, media: Path, clip: bytes, tmp_path: Path
) -> None:
    bombs.h264(tmp_path / "huge.h264", 16384, 16384, frames=2)
    bombs.mp4(tmp_path / "samples.mp4")
    for name, content, part in (
        ("text.mp4", b"no video", "text.mp4 is not a video"),
        ("page.html", b"<html><script>alert(1)</script></html>", "page.html is not a video"),
        ("list.m3u8", b"#EXTM3U\nfile:///etc/passwd\n", "list.m3u8 is not a video"),
        ("half.mp4", clip[: len(clip) // 2], "half.mp4"),
        ("huge.h264", (tmp_path / "huge.h264").read_bytes(), "frames could be decoded"),
        ("samples.mp4", (tmp_path / "samples.mp4").read_bytes(), "samples.mp4"),
        ("empty.mp4", b"", "The body is empty"),
    ):
        detail = refused(await put(http, content, name), 422, "invalid")
        assert part in detail, detail
        assert ".upload-" not in detail
        assert stored(media) == {}


async def test_a_file_is_never_replaced(
    http: httpx.AsyncClient, media: Path, clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = clips.marker_clip(tmp_path / "other.mp4", frames=12).read_bytes()
    answers = await asyncio.gather(*(put(http, content) for content in (clip, other)))
    assert sorted(each.status_code for each in answers) == [201, 409]
    winner = (clip, other)[answers[1].status_code == 201]
    assert stored(media) == {"clip.mp4": winner}
    (media / "uploads" / "nowhere.mp4").symlink_to("none.mp4")
    for name in ("clip.mp4", "nowhere.mp4"):
        assert "give another name" in refused(await put(http, other, name), 409, "name-taken")
    monkeypatch.setattr(
        files.UnfinishedFile, "_check_name", lambda _: None
    )  # it is taken while it is received
    assert "give another name" in refused(await put(http, other), 409, "name-taken")
    monkeypatch.setattr(os, "link", no_links)
    assert "give another name" in refused(await put(http, other), 409, "name-taken")
    assert stored(media)["clip.mp4"] == winner
    assert (await put(http, other, "other.mp4")).status_code == 201
    assert stored(media) == {"clip.mp4": winner, "other.mp4": other}


def no_links(*_arguments: object, **_options: object) -> None:
    raise PermissionError(1, "Operation not permitted")


async def test_a_file_may_have_so_many_bytes(http: httpx.AsyncClient, media: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**20)

    assert "at most 0.05 GB (VA_UPLOAD_MAX_GB)" in refused(await put(http, endless()), 413, "too-large")
    told = await put(http, b"x", **{"Content-Length": "50000001"})
    assert "at most 0.05 GB" in refused(told, 413, "too-large")
    assert stored(media) == {}


async def test_uploads_leave_room_on_the_disk(
    start: Start, media: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten gigabytes on a disk that has one: refused by its length, or after what is there to be taken."""
    free = 1_002_000_000
    written = 0
    write = files.UnfinishedFile.write

    def counted(file: files.UnfinishedFile, data: bytes) -> None:
        nonlocal written
        write(file, data)
        written += len(data)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    monkeypatch.setattr(files.UnfinishedFile, "write", counted)
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_bavail=free - written, f_frsize=1))
    async with start(media_root=media, uploads=UploadLimits()) as app, connected(app) as http:
        for content, headers in ((b"x", {"Content-Length": "10000000000"}), (endless(), {})):
            detail = refused(await put(http, content, **headers), 507, "no-room")
            assert "1.0 GB free, and uploads must leave 1 GB (VA_UPLOAD_MIN_FREE_GB)" in detail
            assert written <= 2_000_000
            assert stored(media) == {}
        written = 0
        assert (await put(http, clip)).status_code == 201


async def test_a_full_or_foreign_disk_is_told(
    http: httpx.AsyncClient, media: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        assert "is full: make room" in refused(await put(http, clip), 507, "no-room")
    assert stored(media) == {}
    (media / "uploads").rmdir()
    (media / "uploads").symlink_to(tmp_path)
    assert "leads outside the media root" in refused(await put(http, clip), 503, "unavailable")
    assert not (tmp_path / "clip.mp4").exists()
    (media / "uploads").unlink()
    (media / "uploads").touch()
    assert "'uploads' is not a folder" in refused(await put(http, clip), 503, "unavailable")


async def test_half_an_upload_leaves_nothing(app: RequestMiddleware, media: Path, clip: bytes) -> None:
    head = f"PUT /media/uploads/clip.mp4 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(clip)}\r\n\r\n"
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as http:
        writers = []
        for _ in range(uploads.AT_ONCE):
            _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
            writer.write(head.encode() + clip[: len(clip) // 2])
            writers.append(writer)
        await until(lambda: len(list((media / "uploads").glob(".upload-*.mp4"))) == uploads.AT_ONCE)
        assert (await http.get("/media?folder=uploads")).json()["items"] == []
        assert "4 files are being uploaded" in refused(await put(http, clip), 503, "unavailable")
        for writer in writers:
            writer.close()
        await until(lambda: stored(media) == {})
        assert (await put(http, clip)).status_code == 201


async def test_a_body_that_does_not_go_on_is_given_up(
    http: httpx.AsyncClient, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        await Event().wait()

    monkeypatch.setattr(uploads, "_WINDOW", 0.05)
    assert "must arrive faster" in refused(await put(http, stuck()), 408, "too-slow")
    assert stored(media) == {}


async def test_uploads_end_when_the_service_stops(start: Start, media: Path) -> None:
    stopping = Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x"
        stopping.set()
        await Event().wait()

    options = {"media_root": media, "uploads": LIMITS, "shutting_down": stopping}
    async with start(**options) as app, connected(app) as http:
        assert "The service is stopping" in refused(await put(http, stuck()), 503, "unavailable")
    assert stored(media) == {}


async def test_what_killed_processes_have_left_is_removed(
    start: Start, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = media / "uploads"
    folder.mkdir()
    left, written, own, linked = (
        folder / f".upload-{number:032x}{suffix}"
        for number, suffix in enumerate([".mp4", "", ".mine.mp4", ".mp4"])
    )
    for path in (left, written, own):
        path.touch()
    (media / "recording.mp4").touch()
    linked.symlink_to(media / "recording.mp4")
    with written.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        async with start(media_root=media, uploads=LIMITS):
            await until(lambda: not left.exists())
        assert {written, own, linked} == set(folder.iterdir())

        def no_locks(*_arguments: object) -> None:
            raise OSError(37, "No locks available")

        monkeypatch.setattr(fcntl, "flock", no_locks)
        assert files.remove_abandoned(media) == 0
        os.utime(written, (0, 0))
        assert files.remove_abandoned(media) == 1
    assert (media / "recording.mp4").exists()
    assert files.remove_abandoned(media / "none") == 0


async def test_only_whole_files_are_taken(http: httpx.AsyncClient, media: Path, clip: bytes) -> None:
    form = await http.put("/media/uploads/clip.mp4", files={"file": ("clip.mp4", clip)})
    assert "curl -T" in refused(form, 415, "unsupported-media-type")
    packed = await put(http, clip, **{"Content-Encoding": "gzip"})
    refused(packed, 415, "unsupported-media-type")
    refused(await put(http, clip, **{"Content-Range": "bytes 0-9/100"}), 400, "bad-request")
    assert not inside(media)


@pytest.mark.parametrize(
    ("settings", "takes"),
    [
        (Settings(), True),
        (Settings(uploads=False), False),
        (Settings(bus="kafka", kafka_bootstrap_servers=("k:9092",)), False),
        (Settings(bus="kafka", kafka_bootstrap_servers=("k:9092",), uploads=True), True),
    ],
)
def test_uploads_are_taken_by_default_if_one_process_does_everything(settings: Settings, takes: bool) -> None:
    assert settings.takes_uploads is takes


async def test_uploads_may_be_off(start: Start, media: Path, clip: bytes) -> None:
    async with start(media_root=media) as app, connected(app) as http:
        assert "set VA_UPLOADS=true" in refused(await put(http, clip), 403, "forbidden")
    assert not inside(media)


async def test_a_check_that_takes_too_long_is_told(
    http: httpx.AsyncClient, media: Path, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_arguments: object) -> tuple[PictureResult, bytes]:
        return PictureResult(fault="slow"), b""

    monkeypatch.setattr(PictureProcesses, "show", slow)
    assert "within 30 seconds" in refused(await put(http, clip), 503, "unavailable")
    assert stored(media) == {}

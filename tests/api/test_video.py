"""The recording of a scenario over HTTP: all of it, parts of it, and nothing else."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec.structs import replace

from app.api import video_files
from app.domain.pins import Pins
from app.postgres import Database
from app.video.files import find_file
from app.video.identity import identify
from tests.api.conftest import Start, connected, listening
from tests.support import clips
from tests.support.rows import SPEC, add_checkpoint, add_scenario
from tests.support.waiting import until


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    clips.marker_clip(folder / "clip.mp4", frames=50, size=(320, 240))
    return folder


@pytest.fixture
async def http(start: Start, media: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with start(media_root=media) as app, connected(app) as client:
        yield client


async def add(scenarios: Database, predictions: Database, media: Path, source: str = "clip.mp4") -> str:
    scenario_id = await add_scenario(scenarios, spec=replace(SPEC, source=source))
    pins = Pins(identify(media / source)) if (media / source).is_file() else Pins()
    await add_checkpoint(predictions, scenario_id, pins=pins)
    return f"/scenarios/{scenario_id}/video"


@pytest.fixture
async def path(scenarios: Database, predictions: Database, media: Path) -> str:
    return await add(scenarios, predictions, media)


async def test_the_file_is_sent_as_it_is(http: httpx.AsyncClient, path: str, media: Path) -> None:
    content = (media / "clip.mp4").read_bytes()
    response = await http.get(path)
    assert (response.status_code, response.content) == (200, content)
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("bytes=0-0", 0, 1), ("bytes=100-199", 100, 200), ("bytes=100-", 100, None), ("bytes=-10", -10, None),
     ("BYTES=5-6", 5, 7), ("bytes=-99999999", 0, None), ("bytes=0-9999999999999999999", 0, None)],
)  # fmt: skip
async def test_a_range_is_sent(
    http: httpx.AsyncClient, path: str, media: Path, asked: str, first: int, end: int | None
) -> None:
    content = (media / "clip.mp4").read_bytes()
    response = await http.get(path, headers={"Range": asked})
    assert (response.status_code, response.content) == (206, content[first:end])
    first %= len(content)
    last = first + len(response.content) - 1
    assert response.headers["content-range"] == f"bytes {first}-{last}/{len(content)}"


@pytest.mark.parametrize(
    "asked",
    ["bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=0-1,3-4", f"bytes={'0-1,' * 5000}2-3", "lines=0-1",
     "bytes=0-1-2", "bytes=--1", "bytes=0x1-2", "bytes=\xb2-\xb3", f"bytes=0-{'9' * 5000}", "0-1"],
)  # fmt: skip
async def test_a_hostile_range_is_ignored(
    http: httpx.AsyncClient, path: str, media: Path, asked: str
) -> None:
    response = await http.get(path, headers={b"Range": asked.encode("latin-1")})
    assert (response.status_code, len(response.content)) == (200, (media / "clip.mp4").stat().st_size)


async def test_a_range_outside_the_file_is_refused(http: httpx.AsyncClient, path: str, media: Path) -> None:
    size = (media / "clip.mp4").stat().st_size
    for asked in (f"bytes={size}-", "bytes=-0", "bytes=9999999999999999998-9999999999999999999"):
        response = await http.get(path, headers={"Range": asked})
        assert response.status_code == 416, asked
        assert response.headers["content-range"] == f"bytes */{size}"


async def test_conditions_are_kept(http: httpx.AsyncClient, path: str) -> None:
    first = await http.get(path)
    tag, date = first.headers["etag"], first.headers["last-modified"]
    old = "Sat, 01 Jan 2000 00:00:00 GMT"
    for headers, status in (
        ({"If-None-Match": tag}, 304),
        ({"If-None-Match": '"other"', "If-Modified-Since": date}, 200),
        ({"If-Modified-Since": date}, 304),
        ({"If-Modified-Since": old}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"Range": "bytes=0-9", "If-Range": tag}, 206),
        ({"Range": "bytes=0-9", "If-Range": date}, 206),
        ({"Range": "bytes=0-9", "If-Range": '"other"'}, 200),
        ({"Range": "bytes=0-9", "If-Range": old}, 200),
        ({"Range": "bytes=0-9", "If-Range": "soon"}, 200),
    ):
        assert (await http.get(path, headers=headers)).status_code == status, headers


async def test_only_the_video_that_was_analysed_is_sent(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, media: Path, tmp_path: Path
) -> None:
    async def problem(path: str) -> tuple[int, str]:
        response = await http.get(path)
        return response.status_code, response.json()["detail"]

    path = await add(scenarios, predictions, media)
    (media / "notes.txt").write_text("secret")
    for source, part in (
        ("notes.txt", "has none of the names of videos"),
        ("test:testsrc2", "The source is no file"),
        ("rtsp://camera/live", "The source is no file"),
        ("never-opened.mp4", "It is not known which file was analysed"),
    ):
        status, detail = await problem(await add(scenarios, predictions, media, source))
        assert (status, part in detail) == (409, True), detail
    assert (await problem(f"/scenarios/{uuid4()}/video"))[0] == 404
    dropped = UUID(path.split("/")[2])
    clips.marker_clip(media / "clip.mp4", frames=51, size=(320, 240))
    status, detail = await problem(path)
    assert (status, "is another one than when this scenario began" in detail) == (409, True)
    (media / "clip.mp4").unlink()
    assert (await problem(path))[0] == 404
    clips.marker_clip(tmp_path / "clip.mp4", frames=50, size=(320, 240))
    (media / "clip.mp4").symlink_to(tmp_path / "clip.mp4")
    status, detail = await problem(path)
    assert (status, "leads outside the media root" in detail) == (404, True)
    async with predictions.connection() as connection:
        await connection.execute("UPDATE checkpoints SET dropped = true WHERE scenario_id = $1", dropped)
    assert (await problem(path))[0] == 409


async def test_a_file_that_is_exchanged_while_it_is_opened_is_not_sent(
    http: httpx.AsyncClient, path: str, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = find_file
    (tmp_path / "secret").write_text("secret")

    def found_then_exchanged(*arguments: object) -> Path:
        found = find(*arguments)  # type: ignore[arg-type]
        found.unlink()
        os.link(tmp_path / "secret", found)
        return found

    monkeypatch.setattr(video_files, "find_file", found_then_exchanged)
    response = await http.get(path)
    assert response.status_code == 409
    assert b"secret" not in response.content


async def test_a_file_is_closed_when_the_client_goes(
    start: Start, scenarios: Database, predictions: Database, media: Path
) -> None:
    with (media / "clip.mp4").open("ab") as file:
        file.truncate(2**38)  # sparse
    path = await add(scenarios, predictions, media)
    before = open_files()
    async with start(media_root=media) as app, listening(app) as url, httpx.AsyncClient(timeout=60) as http:
        async with http.stream("GET", f"{url}{path}") as response:
            assert response.status_code == 200
            parts = response.aiter_bytes()
            await anext(parts)
            assert open_files() == before + 1
            await parts.aclose()  # type: ignore[attr-defined]
        await until_closed(before)


def open_files() -> int:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(str(link.readlink()).endswith("clip.mp4") for link in links)


async def until_closed(count: int) -> None:
    await until(lambda: open_files() == count)

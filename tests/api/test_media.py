"""The list of the media folder: what sources can name, and nothing of other folders."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from app.api.queries.media import MAX_USES
from app.domain.source import parse_source
from app.media import folders
from app.postgres import Database
from app.video.files import find_file
from tests.api.conftest import Start, connected
from tests.support.rows import SPEC, add_scenario

ODD = [b"\xff\xfe.mp4", b"new\nline.mp4", b"bell\x07.mp4", b"back\\slash.mp4", b"delete\x7f.mp4"]
STRANGE = [
    "a:b.mp4",
    "cam.local:8554",
    "rtsp:",
    "漢字.mp4",
    " spaces .mp4",
    "'; DROP--.mp4",
    "%2e%2e",
    "\u202etxt.mp4",
]


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    (folder / "yard" / "day 1").mkdir(parents=True)
    (folder / "clip.mp4").write_bytes(b"12345")
    os.utime(folder / "clip.mp4", (1_767_225_600, 1_767_225_600))
    (folder / "yard" / "cam.mp4").touch()
    return folder


@pytest.fixture
async def http(start: Start, media: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with start(media_root=media) as app, connected(app) as client:
        yield client


def touch(folder: Path, name: bytes) -> None:
    (folder / os.fsdecode(name)).touch()


async def listed(http: httpx.AsyncClient, folder: str = "", **parameters: Any) -> dict[str, Any]:
    response = await http.get("/media", params={"folder": folder, **parameters})
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


async def test_a_folder_is_listed_with_the_scenarios_that_use_its_files(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    plain = await add_scenario(scenarios, age=1)
    dotted = await add_scenario(
        scenarios, spec=replace(SPEC, source="./clip.mp4", name="again"), state="inactive"
    )
    await add_scenario(scenarios, spec=replace(SPEC, source="yard/cam.mp4"))
    page = await listed(http)
    assert [(each["name"], each["kind"], each["size"]) for each in page["items"]] == [
        ("yard", "folder", None),
        ("clip.mp4", "file", 5),
    ]
    clip = page["items"][1]
    assert clip["modified"] == "2026-01-01T00:00:00Z"
    assert clip["scenarios"] == [
        {"id": str(dotted), "name": "again", "state": "inactive", "outcome": "completed"},
        {"id": str(plain), "name": "front door", "state": "active", "outcome": None},
    ]
    assert (page["left_out"], page["next_cursor"], clip["has_more_scenarios"]) == (0, None, False)
    assert page["max_upload_bytes"] is None
    assert [each["path"] for each in (await listed(http, "yard"))["items"]] == ["yard/day 1", "yard/cam.mp4"]
    for _ in range(MAX_USES):
        await add_scenario(scenarios)
    clip = (await listed(http))["items"][1]
    assert (len(clip["scenarios"]), clip["has_more_scenarios"]) == (MAX_USES, True)


async def test_every_path_can_be_used_as_a_source(http: httpx.AsyncClient, media: Path) -> None:
    for name in STRANGE:
        (media / "yard" / name).touch()
        (media / name).touch()
    for folder in ("", "yard"):
        page = await listed(http, folder)
        files = [each for each in page["items"] if each["kind"] == "file"]
        assert {each["name"] for each in files} >= set(STRANGE)
        for each in files:
            found = find_file(parse_source(each["path"]), media)
            assert found == media / folder / each["name"]


async def test_pages_go_on_after_the_last_name(http: httpx.AsyncClient, media: Path) -> None:
    for number in range(7):
        (media / f"{number}.mp4").touch()
        (media / f"folder {number}").mkdir()
    whole = [each["name"] for each in (await listed(http))["items"]]
    assert whole == [
        *(f"folder {number}" for number in range(7)),
        "yard",
        *(f"{number}.mp4" for number in range(7)),
        "clip.mp4",
    ]
    found, page = list[str](), await listed(http, limit=3)
    found += [each["name"] for each in page["items"]]
    while page["next_cursor"] is not None:
        page = await listed(http, limit=3, cursor=page["next_cursor"])
        found += [each["name"] for each in page["items"]]
    assert found == whole
    cursor = (await listed(http, limit=3))["next_cursor"]
    other = await http.get("/media", params={"folder": "yard", "cursor": cursor})
    assert (other.status_code, other.json()["type"]) == (400, "/problems/bad-cursor")


async def test_odd_names_and_links_are_counted(http: httpx.AsyncClient, media: Path, tmp_path: Path) -> None:
    for raw in ODD:
        touch(media, raw)
    (tmp_path / "secret.mp4").write_text("secret")
    (media / "outside.mp4").symlink_to(tmp_path / "secret.mp4")
    (media / "up").symlink_to(tmp_path)
    (media / "nowhere.mp4").symlink_to("none.mp4")
    (media / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(media / "pipe.mp4")
    (media / "inside.mp4").symlink_to("yard/cam.mp4")
    (media / ".hidden.mp4").touch()
    page = await listed(http)
    assert page["left_out"] == len(ODD) + 5
    assert [each["name"] for each in page["items"]] == ["yard", "clip.mp4", "inside.mp4"]
    assert "secret" not in str(page)
    found, cursor = 0, None
    while True:
        page = await listed(http, limit=2, **({} if cursor is None else {"cursor": cursor}))
        found, cursor = found + page["left_out"], page["next_cursor"]
        if cursor is None:
            break
    assert found == len(ODD) + 5
    assert folders._date(2.0**60) is None  # which some disks store


REFUSED = (
    ("..", 400, "contains '..'"), ("yard/../..", 400, "contains '..'"), ("/etc", 400, "is absolute"),
    ("a\nb", 400, "control characters"), ("a\\b", 400, "backslash"),
    ("x" * 300, 400, "file name too long"), ("x/" * 2000, 404, "x/…' under"),
    ("x/" * 2500, 400, "at most 4096"), ("none", 404, "There is no folder 'none'"),
    ("clip.mp4", 400, "is not a folder"), ("up", 400, "leads outside the media root"),
    ("up/private", 400, "leads outside the media root"), ("loop", 400, "links"),
)  # fmt: skip


async def test_a_folder_that_is_none_of_the_media_root_is_refused(
    http: httpx.AsyncClient, media: Path, tmp_path: Path
) -> None:
    (tmp_path / "private").mkdir()
    (media / "up").symlink_to(tmp_path)
    (media / "loop").symlink_to("loop")
    for folder, status, part in REFUSED:
        response = await http.get("/media", params={"folder": folder})
        assert (response.status_code, part in response.json()["detail"]) == (status, True), response.text
    for query in (
        "folder=%00",
        "folder=%ff",
        "folder=a&folder=b",
        "limit=0",
        "limit=1001",
        "cursor=x",
        "up=1",
    ):
        assert (await http.get(f"/media?{query}")).status_code == 400, query
    assert (await http.get("/media?folder=yard/./")).status_code == 200


async def test_a_folder_that_is_exchanged_for_a_link_is_not_followed(
    http: httpx.AsyncClient, media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder becomes a link between the look at its path and the opening."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.mp4").touch()
    is_relative_to = Path.is_relative_to

    def checked_then_exchanged(path: Path, root: Path) -> bool:
        result = is_relative_to(path, root)
        if path.name == "yard" and not path.is_symlink():
            path.rename(tmp_path / "moved")
            path.symlink_to(tmp_path / "private")
        return result

    monkeypatch.setattr(Path, "is_relative_to", checked_then_exchanged)
    response = await http.get("/media?folder=yard")
    assert response.status_code == 400
    assert "secret" not in response.text


async def test_an_api_without_the_media_root_says_so(
    start: Start, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(media_root=media / "none") as app, connected(app) as http:
        response = await http.get("/media")
        assert response.status_code == 404
        assert response.json()["detail"].startswith("The media root does not exist: create it")
        assert "mount the folder of the runners there" in response.json()["detail"]

    def fail(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "scandir", fail)
    async with start(media_root=media) as app, connected(app) as http:
        response = await http.get("/media")
        assert response.status_code == 503
        assert "cannot be read: input/output error" in response.json()["detail"]

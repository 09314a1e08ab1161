"""Finding a source's file: only regular files below the media root are returned."""

import os
from pathlib import Path

import pytest

from app.domain.source import SourceError, parse_source
from app.video.files import find_file


def find(text: str, root: Path) -> Path:
    return find_file(parse_source(text), root)


def rejection(text: str, root: Path) -> str:
    """Return the message with which the source is rejected."""
    with pytest.raises(SourceError) as caught:
        find(text, root)
    return str(caught.value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "media"
    (root / "gate").mkdir(parents=True)
    (root / "gate" / "clip.mp4").write_bytes(b"x")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    return root


@pytest.mark.parametrize("text", ["gate/clip.mp4", "./gate/clip.mp4", "gate//./clip.mp4"])
def test_a_file_is_found_below_the_media_root(root: Path, text: str) -> None:
    source = parse_source(text)
    assert (source.kind, source.live) == ("file", False)
    assert find_file(source, root) == (root / "gate" / "clip.mp4").resolve()


@pytest.mark.parametrize(
    "text",
    ["2024-01-01T10:00:00.mp4", "./cam1:front.mp4", "gate/a:b.mp4", "été 1.mp4", "-rf", "%2e%2e", "x?y#z"],
)
def test_unusual_file_names_are_found(root: Path, text: str) -> None:
    (root / text).write_bytes(b"x")
    assert find(text, root) == (root / text).resolve()


def test_a_missing_file_says_where_to_put_it(root: Path) -> None:
    for text in ("none.mp4", "gate/clip.mp4/more", "none/clip.mp4"):
        assert rejection(text, root) == (
            f"no file {text!r} under the media root: put it there, or set VA_MEDIA_ROOT"
        )
    assert "media root does not exist" in rejection("clip.mp4", root / "nowhere")
    assert rejection("media/gate/clip.mp4", root).endswith("so write 'gate/clip.mp4'")
    assert rejection("media/none.mp4", root).endswith("put it there, or set VA_MEDIA_ROOT")


def test_links_are_followed_only_inside_the_root(root: Path) -> None:
    (root / "inside.mp4").symlink_to("gate/clip.mp4")
    (root / "outside.mp4").symlink_to("../secret.mp4")
    (root.parent / "media2").mkdir()
    (root.parent / "media2" / "clip.mp4").write_bytes(b"x")
    (root / "beside.mp4").symlink_to("../media2/clip.mp4")
    (root / "up").symlink_to("..")
    (root / "loop.mp4").symlink_to("loop.mp4")
    assert find("inside.mp4", root).read_bytes() == b"x"
    assert "outside the media root" in rejection("outside.mp4", root)
    assert "outside the media root" in rejection("up/secret.mp4", root)
    assert "outside the media root" in rejection("beside.mp4", root)
    assert "cannot be opened" in rejection("loop.mp4", root)


def test_the_media_root_may_be_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert find("gate/clip.mp4", link).is_file()


def test_only_regular_files_are_found(root: Path) -> None:
    os.mkfifo(root / "fifo.mp4")
    assert "is not a file" in rejection("fifo.mp4", root)
    assert "is not a file" in rejection("gate", root)


def test_a_name_too_long_for_the_file_system_is_rejected(root: Path) -> None:
    assert "cannot be opened" in rejection("x" * 1000 + ".mp4", root)

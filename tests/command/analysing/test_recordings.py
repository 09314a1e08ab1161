"""Which files the arguments of `analyze` name."""

import os
from pathlib import Path

import pytest

from app.command.analysing.recordings import find_recordings


def test_folders_patterns_and_odd_names_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/b/1.MP4", "./a/2.mkv", "a/[x].mp4", "a/c.jpg", "b/1.mp4", ".h/1.mp4", "a/.h.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "b" / "pipe.mp4")
    Path(os.fsdecode(b"b/\xff.mp4")).touch()
    (tmp_path / "a" / "round").symlink_to(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    found = find_recordings(["./a", "a/[x].mp4", "**/*.*", "none/*.mp4", "empty", "./a", "/dev/null"])
    assert [each.shown for each in found.recordings] == [
        "./a/2.mkv",
        "./a/[x].mp4",
        "./a/b/1.MP4",
        "b/1.mp4",
        r"b/\udcff.mp4",
    ]
    assert found.skipped == ["./a/c.jpg"]
    assert found.problems == {
        "b/pipe.mp4": "It is not a file: name a video file.",
        "none/*.mp4": "No file matches this pattern.",
        "empty": "The folder has no files.",
        "/dev/null": "It is not a file: name a video file.",
    }

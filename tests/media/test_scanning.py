"""Files below the media folder that a pattern names."""

import os
from pathlib import Path

import pytest

from app.domain.source import SourceError
from app.media.path_patterns import PathPattern
from app.media.scanning import MAX_DEPTH, scan, source_of


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


def found(root: Path, pattern: str) -> list[str]:
    result = scan(root, PathPattern(pattern))
    assert result.problem is None
    return [each.path for each in result.files]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("*.mp4", ["a.mp4", "ä b.mp4"]),
        ("**/*.mp4", ["a.mp4", "yard/b.mp4", "yard/day/c.mp4", "ä b.mp4"]),
        ("yard/**/*.mp4", ["yard/b.mp4", "yard/day/c.mp4"]),
        ("yard/**", ["yard/b.mp4", "yard/day/c.mp4", "yard/note.txt"]),
        ("**/day/**/*.mp4", ["yard/day/c.mp4"]),
        ("yard/?.mp4", ["yard/b.mp4"]),
        ("y[a-c]rd/[!c].mp4", ["yard/b.mp4"]),
        ("./yard//b.mp4", ["yard/b.mp4"]),
        ("*/*", ["yard/b.mp4", "yard/note.txt"]),
        ("YARD/*", []),
        ("yard", []),
    ],
)
def test_a_pattern_names_files(tmp_path: Path, pattern: str, paths: list[str]) -> None:
    make(tmp_path, "a.mp4", "ä b.mp4", "yard/b.mp4", "yard/note.txt", "yard/day/c.mp4")
    make(tmp_path, ".hidden.mp4", "yard/.part/d.mp4")
    assert found(tmp_path, pattern) == paths


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/etc/*", "is absolute"),
        ("../*.mp4", "contains '..'"),
        ("yard\\*.mp4", "backslash"),
        ("yard/", "names a folder"),
        (".", "names a folder"),
        ("yard/**.mp4", "between two '/'"),
        (".cache/*.mp4", "hidden"),
        ("a\nb*", "control characters"),
        ("/".join("a" * 33), "more than 32 parts"),
    ],
)
def test_a_pattern_that_can_find_nothing_is_refused(pattern: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason.replace("*", r"\*")):
        PathPattern(pattern)


def test_links_are_followed_within_the_folder_only(tmp_path: Path) -> None:
    root = tmp_path / "media"
    make(root, "real/a.mp4")
    make(tmp_path, "outside/secret.mp4", "media-2/b.mp4")
    (root / "inside.mp4").symlink_to("real/a.mp4")
    (root / "outside.mp4").symlink_to(tmp_path / "outside/secret.mp4")
    (root / "beside.mp4").symlink_to(tmp_path / "media-2/b.mp4")
    (root / "nowhere.mp4").symlink_to("missing.mp4")
    (root / "folder").symlink_to("real")
    (root / "away").symlink_to(tmp_path / "outside")
    (root / "round").symlink_to(".")
    os.mkfifo(root / "pipe.mp4")
    assert found(root, "**/*.mp4") == ["inside.mp4", "real/a.mp4"]
    assert found(root, "*/*.mp4") == ["folder/a.mp4", "real/a.mp4", "round/inside.mp4"]
    assert found(root, "away/*") == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cam:1.mp4", "./cam:1.mp4"),
        ("a b.mp4", "a b.mp4"),
        ("test:x.mp4", "./test:x.mp4"),
        ("[1].mp4", "[1].mp4"),
    ],
)
def test_odd_names_become_sources(tmp_path: Path, name: str, source: str) -> None:
    make(tmp_path, name)
    (file,) = scan(tmp_path, PathPattern("*")).files
    assert (file.path, file.refused, source_of(file.path)) == (name, None, source)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"a\nb.mp4", "The path contains a backslash or control characters: rename the file."),
        (b"a\\b.mp4", "The path contains a backslash or control characters: rename the file."),
        (b"\xff.mp4", "The name is not in UTF-8: rename the file."),
    ],
)
def test_a_name_that_is_no_source_is_told(tmp_path: Path, name: bytes, reason: str) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_text("x")
    (file,) = scan(tmp_path, PathPattern("*")).files
    assert file.refused == reason
    file.path.encode()


def test_what_is_too_much_or_unreadable_is_told(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "a/2.mp4", "b/3.mp4")
    few = scan(tmp_path, PathPattern("**/*.mp4"), max_files=2)
    assert [each.path for each in few.files] == ["a/1.mp4", "a/2.mp4"]
    assert few.problem is not None
    assert few.problem.startswith("More than 2 files match, and the first 2 by name are taken")
    entries = scan(tmp_path, PathPattern("**/*.mp4"), max_entries=3)
    assert entries.problem is not None
    assert entries.problem.startswith("More than 3 files and folders would have to be looked at")
    missing = scan(tmp_path / "missing", PathPattern("*"))
    assert missing.problem == "The media folder does not exist: create it, or set VA_MEDIA_ROOT."


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a/1.mp4", "b/2.mp4")
    listed = os.scandir

    def refuse(folder: str) -> object:
        if Path(folder).name == "a":
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    result = scan(tmp_path, PathPattern("**/*.mp4"))
    assert [each.path for each in result.files] == ["b/2.mp4"]
    assert result.problem == "The folder 'a' below the media folder cannot be read: permission denied."


def test_what_a_file_system_may_hold_ends_no_scan(tmp_path: Path) -> None:
    make(tmp_path, "a.mp4", "/".join(["deep"] * (MAX_DEPTH + 5)) + "/b.mp4", "\\udcff.mp4")
    os.utime(tmp_path / "a.mp4", (0, 13_000_000_000))  # of the year 2381: no 64-bit number of nanoseconds
    (tmp_path / os.fsdecode(b"\xff.mp4")).write_bytes(b"x")  # which is shown as the third name
    result = scan(tmp_path, PathPattern("**/*.mp4"))
    assert [each.path for each in result.files] == ["\\udcff.mp4", "a.mp4"]
    assert result.files[1].modified == 2**63 - 1
    assert result.problem is not None
    assert result.problem.startswith(f"Folders deeper than {MAX_DEPTH} are not entered")

"""Telling files apart by samples of their content."""

import os
from pathlib import Path

import pytest

from app.video.identity import identify

SIZE = 3_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(bytes(SIZE))
    return path


def test_a_copy_is_the_same_file_and_a_touched_one_too_but_for_its_time(file: Path, tmp_path: Path) -> None:
    first = identify(file)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(file.read_bytes())
    os.utime(copy, ns=(1, 1))
    second = identify(copy)
    assert (second.size, second.digest) == (first.size, first.digest)
    assert (first.size, second.modified) == (SIZE, 1)


@pytest.mark.parametrize("place", [0, 70_000, SIZE // 2, SIZE - 1])
def test_other_content_is_another_file(file: Path, place: int) -> None:
    before = identify(file)
    with file.open("r+b") as changed:
        changed.seek(max(0, place - 60_000))
        changed.write(b"\1" * 120_000)
        changed.truncate(SIZE)
    assert identify(file).digest != before.digest


@pytest.mark.parametrize("size", [0, 1, 100_000, 250_000, 260_000, 300_000])
def test_any_size_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(bytes(size))
    before = identify(path)
    assert before.size == size
    if size:
        path.write_bytes(bytes(size - 1) + b"\1")
        assert identify(path).digest != before.digest

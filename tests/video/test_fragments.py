"""The samples that fragments of an mp4 list are counted in the bytes that are read, however these come."""

from pathlib import Path

import pytest

from app.video import memory
from app.video.encryption_lists import BYTES_PER_SAMPLE
from app.video.fragments import FragmentMemory, FragmentScanner
from tests.torture.media import bombs

SAMPLES, TRACKS = 600_000, 3


class Reserved:
    """What was asked for beyond the allowance, in bytes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, size: int) -> None:
        self.sizes.append(size - memory.ALLOWANCE)


@pytest.fixture
def reserved(monkeypatch: pytest.MonkeyPatch) -> Reserved:
    monkeypatch.setattr(memory, "ALLOWANCE", 10)
    return Reserved()


@pytest.mark.parametrize("size", [1, 7, 64, 2**20])
def test_fragments_are_found_in_parts_of_any_size(tmp_path: Path, reserved: Reserved, size: int) -> None:
    data = bombs.fragments(tmp_path / "a.mp4", samples=SAMPLES, tracks=TRACKS).read_bytes()[:4096]
    scanner = FragmentScanner(FragmentMemory(reserved))
    for start in range(0, len(data), size):
        scanner.scan(data[start : start + size], start)
    least = SAMPLES * TRACKS * 36  # that FFmpeg takes (measured)
    assert least < sum(reserved.sizes) < 2 * least


def test_a_box_may_tell_its_size_in_64_bits(reserved: Reserved) -> None:
    box = b"\0\0\0\1trun" + (24).to_bytes(8) + bytes(4) + SAMPLES.to_bytes(4)
    FragmentScanner(FragmentMemory(reserved)).scan(box, 0)
    assert sum(reserved.sizes) > SAMPLES * 36


@pytest.mark.parametrize(
    "box",
    [
        b"trun" + bytes(4),
        b"stsz" + bytes(8),
        b"stz2" + bytes(8),
        b"senc" + bytes(4),
        b"saiz" + bytes(5),
        b"saiz\0\0\0\1cenc" + bytes(5),
    ],
)
def test_what_a_file_ends_with_counts(reserved: Reserved, box: bytes) -> None:
    FragmentScanner(FragmentMemory(reserved)).scan(box + SAMPLES.to_bytes(4), 0)
    assert sum(reserved.sizes) > SAMPLES * 36


@pytest.mark.parametrize("size", [1, 5, 100])
def test_lists_of_encryption_count_more(reserved: Reserved, size: int) -> None:
    box = b"saiz\0\0\0\1cenc" + bytes(5) + SAMPLES.to_bytes(4)
    scanner = FragmentScanner(FragmentMemory(reserved))
    for start in range(0, len(box), size):
        scanner.scan(box[start : start + size], start)
    assert 0.9 * SAMPLES * BYTES_PER_SAMPLE < sum(reserved.sizes) <= SAMPLES * BYTES_PER_SAMPLE


def test_what_cannot_be_a_fragment_needs_nothing(reserved: Reserved) -> None:
    """FFmpeg refuses a number this large, and a name is in two parts only if they follow each other."""
    scanner = FragmentScanner(FragmentMemory(reserved))
    scanner.scan(b"trun" + bytes(4) + b"\xff" * 4 + bytes(8), 0)
    scanner.scan(b"tr", 100)
    scanner.scan(b"un" + bytes(4) + SAMPLES.to_bytes(4) + bytes(8), 200)
    assert reserved.sizes == []


def test_small_fragments_are_reserved_together(reserved: Reserved) -> None:
    """Each reservation takes a lock, and a recording of a day has 100,000 fragments."""
    scanner = FragmentScanner(FragmentMemory(reserved))
    for number in range(1000):
        scanner.scan(b"trun" + bytes(4) + (60).to_bytes(4) + bytes(8), 20 * number)
    assert len(reserved.sizes) == 1

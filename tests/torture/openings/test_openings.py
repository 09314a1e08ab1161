"""Files whose containers list very many things: opening one takes bounded memory, however small the file is.

Each file is just small enough to be opened, or is refused. Memory is the kernel's figure for this process.
The guard of Matroska's lists is also taken out.
"""

import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import av
import pytest

from app.video import declared_index, formats
from app.video.begun_file import MAX_BEGINNING, BegunFile
from app.video.encryption_lists import MAX_KEY_SYSTEMS, MAX_SAMPLES, EncryptionLists
from app.video.errors import VideoError
from app.video.matroska_lists import MAX_ATTACHED, MAX_LISTED, MAX_POINTS, MAX_TAGS, MatroskaFacts
from app.video.memory import VIDEO_MEMORY
from tests.support import clips
from tests.torture.battery import Battery
from tests.torture.media import bombs
from tests.torture.media.mutations import measured, read
from tests.torture.openings import files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's way to measure memory")

ROW = 8
MOST = 500
"""MiB that one opening may take. It is less than 300 in a new process, and up to 430 behind other tests."""

_POINT = 13  # bytes of an index entry
_MATROSKA: dict[str, tuple[Callable[[int], bytes], int]] = {
    "tags": (files.matroska_tags, 3),
    "tags in 20 lists": (files.matroska_tag_lists, 3),
    "index entries": (files.matroska_cues, _POINT),
    "empty index entries": (files.matroska_empty_cues, 2),
    "positions of index entries": (files.matroska_cue_positions, 2),
    "chapters": (files.matroska_chapters, 2),
    "attachments": (files.matroska_attachments, 3),
    "content of attachments": (files.matroska_fonts, 1),
    "tracks": (files.matroska_tracks, 2),
    "encodings of tracks": (files.matroska_encodings, 3),
    "named lists": (files.matroska_seek_heads, 3),
}
"""What a Matroska file lists: who builds it, and the bytes of each in the file."""

_LIMITS = {
    "tags": MAX_TAGS,
    "tags in 20 lists": MAX_TAGS,
    "index entries": MAX_POINTS * _POINT,
    "content of attachments": MAX_ATTACHED,
}
"""The bytes allowed, if not MAX_LISTED."""

_OTHERS: dict[str, Callable[[], bytes]] = {
    "AVI: 600,000 index entries": lambda: files.avi_index(600_000),
    "FLV: 900,000 key frames": lambda: files.flv_keyframes(900_000),
    "ASF: 300,000 markers": lambda: files.asf_markers(300_000),
    "Ogg: 5,000 streams": lambda: files.ogg_streams(5_000),
    "MPEG-TS: 180 streams": lambda: files.ts_streams(20_000),
    "MPEG-TS: 2,000 programs": lambda: files.ts_programs(2_000),
}


def open_file(folder: Path, data: bytes) -> tuple[float, str]:
    """Open a file of these bytes. Returns how many MiB that took at most, and the result."""
    path = folder / "a.mkv"
    path.write_bytes(data)
    with measured() as peak:
        told = read(path)
    return peak(), told


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", _MATROSKA)
def test_a_matroska_file_takes_bounded_memory(tmp_path: Path, battery: Battery, what: str) -> None:
    build, size = _MATROSKA[what]
    limit = _LIMITS.get(what, MAX_LISTED)
    allowed, _ = open_file(tmp_path, build((limit - 10_000) // size))
    refused, told = open_file(tmp_path, build((limit + 10_000) // size))
    assert ("cut the recording" if what.endswith("index entries") else "copy the video with ffmpeg") in told
    assert refused < 50
    assert allowed < MOST
    tried = f"{limit >> 10:,} KiB of them"
    battery.passed(ROW, f"Matroska: {what}", tried, f"{allowed:.0f} MiB at most; more are refused")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", ["tags in 20 lists", "encodings of tracks", "chapters"])
def test_without_its_limit_a_matroska_file_takes_much(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(declared_index, "check_lists", lambda *_: MatroskaFacts())
    build, size = _MATROSKA[what]
    data = build(2 * MAX_LISTED // size)
    most, _ = open_file(tmp_path, data)
    assert most > MOST or most > 8 * len(data) / 2**20
    battery.unguarded(
        ROW, f"its limit: Matroska: {what}", f"1 file of {len(data) >> 20} MiB", f"{most:.0f} MiB"
    )


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", _OTHERS)
def test_other_containers_take_a_multiple_of_their_size(tmp_path: Path, battery: Battery, what: str) -> None:
    data = _OTHERS[what]()
    most, _ = open_file(tmp_path, data)
    assert most < 50 + 30 * len(data) / 2**20
    battery.passed(ROW, what, f"1 file of {len(data) / 1e6:.1f} MB", f"{most:.0f} MiB at most")


def test_lists_that_are_named_elsewhere_count(tmp_path: Path) -> None:
    """FFmpeg follows the names at the beginning of a file to lists at its end."""
    most, told = open_file(tmp_path, files.matroska_named_lists(MAX_LISTED // 2 + 1000))
    assert "more than" in told
    assert most < 50


def test_a_file_that_takes_long_to_open_is_given_up(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "OPEN_TIMEOUT", 0.001)
    _, told = open_file(tmp_path, files.ts_programs(2_000))
    assert "could not be opened in time" in told
    monkeypatch.setattr(formats, "OPEN_TIMEOUT", 60.0)
    _, told = open_file(tmp_path, files.ts_programs(2_000))
    assert "in time" not in told
    battery.passed(ROW, "2,000 programs of an MPEG-TS, a deadline of 1 ms", "1 file", "given up")
    battery.unguarded(ROW, "its deadline", "1 file", "opened to the end")


def test_a_stream_without_pictures_at_its_beginning_is_given_up() -> None:
    begun = BegunFile(BytesIO(bytes(MAX_BEGINNING + 1)), "stream")
    begun.index()
    with pytest.raises(VideoError, match="more than 16 MiB before its first pictures"):
        list(iter(lambda: begun.read(2**20), b""))
    opened = BegunFile(BytesIO(bytes(MAX_BEGINNING + 1)), "stream")
    opened.index()
    opened.is_open = True
    assert sum(len(part) for part in iter(lambda: opened.read(2**20), b"")) == MAX_BEGINNING + 1


def test_fonts_and_long_indexes_do_not_hinder(tmp_path: Path) -> None:
    plain = read(_write(tmp_path, files.matroska_tags(0)))
    assert read(_write(tmp_path, files.matroska_fonts(12 * 2**20))) == plain
    assert read(_write(tmp_path, files.matroska_cues(1_000_000))) == plain


def test_a_plain_matroska_file_is_opened(tmp_path: Path) -> None:
    assert read(_write(tmp_path, files.matroska_tags(10))) == read(_write(tmp_path, files.matroska_tags(0)))


def _write(folder: Path, data: bytes) -> Path:
    path = folder / "plain.mkv"
    path.write_bytes(data)
    return path


def _encrypted(folder: Path, **lists: int) -> tuple[float, str]:
    """Open an mp4 with such lists of encryption. Returns how many MiB that took at most, and the result."""
    return open_file(folder, bombs.encrypted(folder / "a.mp4", **lists).read_bytes())


def test_lists_of_encryption_are_counted(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    four = {"samples": 20_000_000, "tracks": 4}
    for lists in ({"samples": MAX_SAMPLES + 1}, {"key_systems": MAX_KEY_SYSTEMS + 1}, four):
        most, told = _encrypted(tmp_path, **lists)
        assert "lists too much about its encryption" in told
        assert most < 50
    _, told = _encrypted(tmp_path, samples=MAX_SAMPLES // 2, key_systems=5, tracks=2)
    assert "is encrypted: remove the encryption" in told
    battery.passed(ROW, "mp4: 80 million samples that are encrypted", "1 file of 3 KB", "refused")
    monkeypatch.setattr(EncryptionLists, "check", lambda *_: None)
    monkeypatch.setattr(VIDEO_MEMORY, "_total", 2**40)
    most, _ = _encrypted(tmp_path, **four)
    assert most > MOST
    battery.unguarded(ROW, "a limit of them", "1 file of 3 KB", f"{most:.0f} MiB")


def test_lists_of_encryption_are_found_wherever_they_are(tmp_path: Path) -> None:
    lists = bombs.encrypted(tmp_path / "a.mp4", samples=MAX_SAMPLES + 1).read_bytes()
    at = lists.index(b"senc") - 4
    box = lists[at : at + 16]
    for kind in (b"moof", b"udta", b"meta"):
        path = bombs.encrypted(tmp_path / "b.mp4")
        path.write_bytes(path.read_bytes() + (len(box) + 8).to_bytes(4) + kind + box)
        assert "lists too much about its encryption" in read(path)


def test_what_a_list_of_sizes_says_counts(tmp_path: Path) -> None:
    for content in (bytes(5), b"\0\0\0\1cenc" + bytes(5)):
        content += (MAX_SAMPLES + 1).to_bytes(4)
        box = (len(content) + 8).to_bytes(4) + b"saiz" + content
        path = bombs.mp4(tmp_path / "a.mp4", samples=1, lists=box)
        assert "lists too much about its encryption" in read(path)


@pytest.mark.parametrize(
    "title", ["The trunk road", "trunk", "Presence of mind", "Essence", "Edelstein", "Saiz"]
)
def test_titles_with_names_of_boxes_do_not_hinder(tmp_path: Path, title: str) -> None:
    """Of text, four bytes are a number that is larger than what FFmpeg takes memory for."""
    path = clips.moving_boxes_clip(tmp_path / "plain.mp4", frames=3, size=(64, 48), codec="mpeg4")
    with av.open(str(path)) as plain, av.open(str(tmp_path / "a.mp4"), "w") as titled:
        stream = titled.add_stream_from_template(plain.streams.video[0])
        titled.metadata["title"] = stream.metadata["handler_name"] = title
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                titled.mux(packet)
    assert (tmp_path / "a.mp4").read_bytes().count(title.encode()) == 2
    assert read(tmp_path / "a.mp4") == "3 pictures"

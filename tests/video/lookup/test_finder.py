"""One frame of a recording: the very ordinal with the very pixels, or the reason why not."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from app.domain.networks import Networks
from app.domain.pins import FileIdentity
from app.domain.sampling import CandidateFrames, EveryFrame
from app.domain.source import parse_source
from app.video.errors import VideoError
from app.video.lookup import clock, finder
from app.video.lookup.clock import has_one_clock
from app.video.lookup.finder import (
    MissingFileError,
    OtherRecordingError,
    StoredFrame,
    TooSlowError,
    WantedFrame,
    find_frame,
)
from app.video.lookup.seeking import SeekTimeoutError
from app.video.pictures import AvPicture
from tests.support import clips
from tests.video.recordings import SIZE, Undisturbed, content, marker, opened, read

FRAMES = 60
_UNEVEN = [n / 30 + (0.013 if n % 3 == 1 else 0.0) for n in range(FRAMES)]
KINDS: dict[str, clips.Encoding] = {
    "h264.mp4": {"gop": 24},
    "open_gop.mkv": {"gop": 20, "open_gop": True},
    "hevc.mp4": {"codec": "hevc", "gop": 20, "open_gop": True, "bframes": 3},
    "refresh.mp4": {"gop": 24, "bframes": 0, "options": {"intra-refresh": "1"}},
    "uneven.mp4": {"gop": 24, "times": _UNEVEN},
    "late.mkv": {"gop": 24, "first_time": 500.0},
    "turned.mp4": {"gop": 24, "rotation": 90},
    "fragments.mp4": {"gop": 24, "muxer_options": {"movflags": "frag_keyframe+empty_moov"}},
    "vp9.webm": {"codec": "vp9", "gop": 24},
    "h264.ts": {"gop": 24},
    "mjpeg.avi": {"codec": "mjpeg"},
    "mpeg4.avi": {"codec": "mpeg4", "gop": 24, "open_gop": True},
    "mpeg2_open.mpg": {"codec": "mpeg2", "gop": 12, "open_gop": True},
    "h264.h264": {"gop": 24},
}
SEEKABLE = [name for name in KINDS if name.endswith((".mp4", ".mkv", ".webm", ".ts", ".avi"))]
TEST_PATTERN = "test:testsrc2?size=256x192&duration=2"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name, encoding in KINDS.items():
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, **encoding)
    return folder


@pytest.fixture(scope="module")
def undisturbed(media: Path) -> Undisturbed:
    return Undisturbed(media)


def show(media: Path, source: str, wanted: WantedFrame, seconds: float = 20.0) -> AvPicture:
    return find_frame(parse_source(source), media, Networks(""), wanted, seconds)


def stored(rows: Undisturbed, name: str, number: int, step: int = 15, **known: Any) -> WantedFrame:
    """A frame as it was stored, and the one stored `step` frames before it."""
    frames = rows.of(name)
    before = StoredFrame(number - step, frames[number - step].time) if number >= step else None
    return WantedFrame(StoredFrame(number, frames[number].time), before, **known)


def forbid_reading_from_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> AvPicture:
        raise AssertionError("read from the beginning")

    monkeypatch.setattr(finder, "_read_from_beginning", fail)


@pytest.mark.parametrize("name", [*KINDS, TEST_PATTERN])
def test_the_picture_is_the_one_that_was_analysed(media: Path, undisturbed: Undisturbed, name: str) -> None:
    for number in (0, 1, 19, 23, 25, 45, FRAMES - 1):
        picture = show(media, name, stored(undisturbed, name, number))
        assert content(picture) == undisturbed.of(name)[number].content, number
        if name != TEST_PATTERN:
            assert marker(picture) == number


@pytest.mark.parametrize("name", SEEKABLE)
def test_a_frame_is_found_without_reading_from_the_beginning(
    media: Path, undisturbed: Undisturbed, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_reading_from_beginning(monkeypatch)
    for number in (0, 22, 50):
        for step in (1, 15):
            assert marker(show(media, name, stored(undisturbed, name, number, step))) == number


def test_frames_before_the_first_key_frame_that_is_shown_are_found(tmp_path: Path) -> None:
    """A clip that was cut without encoding it again: an edit list leaves out its first key frame."""
    clips.marker_clip(tmp_path / "cut.mp4", frames=FRAMES, size=SIZE, gop=24, first_time=-0.5)
    rows = Undisturbed(tmp_path)
    for number in (0, 3, 8, 9, 30):
        picture = show(tmp_path, "cut.mp4", stored(rows, "cut.mp4", number, step=2))
        assert content(picture) == rows.of("cut.mp4")[number].content
        assert marker(picture) == 15 + number


@pytest.mark.parametrize("candidates", ["key", "reference"])
def test_what_was_sampled_of_few_frames_is_found_among_all(media: Path, candidates: CandidateFrames) -> None:
    frames = read(media, "h264.mp4", EveryFrame(), candidates)
    before = None
    for number, time, pixels in frames:
        at = StoredFrame(number, time)
        assert content(show(media, "h264.mp4", WantedFrame(at, before, candidates))) == pixels
        before = at


def test_a_time_or_an_ordinal_that_is_not_the_frames_own_is_refused(
    media: Path, undisturbed: Undisturbed
) -> None:
    for name in ("h264.mp4", "h264.ts"):
        rows = undisturbed.of(name)
        for wanted in (
            WantedFrame(StoredFrame(30, rows[31].time)),
            WantedFrame(StoredFrame(30, rows[30].time + 0.001)),
            WantedFrame(StoredFrame(FRAMES, rows[FRAMES - 1].time)),
        ):
            with pytest.raises(OtherRecordingError, match="the recording has no frame"):
                show(media, name, wanted)
        with pytest.raises(OtherRecordingError):
            show(media, name, stored(undisturbed, name, 30, size=(640, 480)))


def test_damage_before_a_frame_does_not_move_it(media: Path, tmp_path: Path) -> None:
    content_of = bytearray((media / "open_gop.mkv").read_bytes())
    middle = len(content_of) // 2
    content_of[middle : middle + 3000] = b"\xaa" * 3000
    (tmp_path / "damaged.mkv").write_bytes(content_of)
    rows = read(tmp_path, "damaged.mkv")
    assert len([row for row in rows if isinstance(row.content, str)]) > 1
    for place, row in enumerate(rows):
        before = StoredFrame(rows[place - 1].number, rows[place - 1].time) if place else None
        wanted = WantedFrame(StoredFrame(row.number, row.time), before)
        if isinstance(row.content, bytes):
            assert content(show(tmp_path, "damaged.mkv", wanted)) == row.content, row.number
        else:
            with pytest.raises(VideoError) as caught:
                show(tmp_path, "damaged.mkv", wanted)
            assert str(caught.value) == row.content


def test_joined_recordings_show_the_frame_of_the_right_part(media: Path, tmp_path: Path) -> None:
    others = (clips.marker_picture(number + 100, SIZE) for number in range(FRAMES))
    clips.encode(tmp_path / "other.ts", others, gop=24)
    part = (media / "h264.ts").read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + (tmp_path / "other.ts").read_bytes())
    rows = read(tmp_path, "joined.ts")
    assert len(rows) == 2 * FRAMES
    for number, shown in ((30, 30), (FRAMES + 30, 130)):
        before = StoredFrame(rows[number - 5].number, rows[number - 5].time)
        picture = show(tmp_path, "joined.ts", WantedFrame(StoredFrame(number, rows[number].time), before))
        assert content(picture) == rows[number].content
        assert marker(picture) == shown


def test_times_that_come_twice_are_not_mixed_up(media: Path, tmp_path: Path) -> None:
    """Between two parts of one clock stands one whose times are within the first."""
    for name, first, time in (("a", 0, 0.0), ("b", 200, 0.5), ("c", FRAMES, FRAMES / 30)):
        pictures = (clips.marker_picture(first + number, SIZE) for number in range(FRAMES))
        clips.encode(tmp_path / f"{name}.ts", pictures, gop=24, first_time=time)
    joined = b"".join((tmp_path / f"{name}.ts").read_bytes() for name in "abc")
    (tmp_path / "joined.ts").write_bytes(joined)
    with opened(tmp_path, "joined.ts") as video:
        assert video.identity is not None
        assert not has_one_clock(tmp_path / "joined.ts", video.identity, 256, until=math.inf)
    assert_shown(tmp_path, "joined.ts", 3 * FRAMES)


def test_a_clock_is_read_on_where_the_last_try_ended(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_BLOCK", 20)
    blocks = (media / "h264.ts").stat().st_size // (20 * 188)
    assert blocks > 3
    identity = FileIdentity(digest="not read before")
    for _ in range(blocks + 1):
        with pytest.raises(SeekTimeoutError):
            has_one_clock(media / "h264.ts", identity, 256, until=0.0)
    assert has_one_clock(media / "h264.ts", identity, 256, until=0.0)


def assert_shown(media: Path, name: str, count: int) -> None:
    """Compare frames that are shown, some before and after each key frame, with those that a run reads."""
    rows = read(media, name)
    assert len(rows) == count
    for number in range(0, count, 7):
        row, near = rows[number], rows[max(0, number - 3)]
        before = StoredFrame(near.number, near.time) if number else None
        wanted = WantedFrame(StoredFrame(row.number, row.time), before)
        if isinstance(row.content, bytes):
            assert content(show(media, name, wanted)) == row.content, number


@pytest.mark.parametrize("name", ["mjpeg.avi", "mpeg4.avi"])
def test_a_wrong_index_of_an_avi_moves_no_frame(media: Path, tmp_path: Path, name: str) -> None:
    data = bytearray((media / name).read_bytes())
    index = data.rindex(b"idx1")
    entries = range(index + 8, len(data) - 15, 16)
    pictures = [at for at in entries if data[at : at + 4] == b"00dc"]
    assert len(pictures) >= FRAMES
    unlisted, moved = bytearray(data), bytearray(data)
    unlisted[pictures[20] : pictures[20] + 4] = b"JUNK"
    at = pictures[30] + 8  # where the picture is
    moved[at : at + 4] = data[pictures[31] + 8 :][:4]
    lost = bytearray(data)
    place = data.index(b"movi") + int.from_bytes(data[pictures[20] + 8 : pictures[20] + 12], "little")
    lost[place : place + 4] = b"XXXX"
    for number, changed in enumerate((unlisted, moved, lost)):
        (tmp_path / f"{number}.avi").write_bytes(changed)
        assert_shown(tmp_path, f"{number}.avi", len(read(tmp_path, f"{number}.avi")))


def test_a_replaced_file_is_refused_and_a_missing_one_told(
    media: Path, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    shutil.copy(media / "h264.mp4", tmp_path / "clip.mp4")
    with opened(tmp_path, "clip.mp4") as video:
        wanted = stored(undisturbed, "h264.mp4", 20, file=video.identity)
    assert marker(show(tmp_path, "clip.mp4", wanted)) == 20
    clips.marker_clip(tmp_path / "clip.mp4", frames=FRAMES + 1, size=SIZE, gop=24)
    with pytest.raises(OtherRecordingError, match="its size changed"):
        show(tmp_path, "clip.mp4", wanted)
    (tmp_path / "clip.mp4").unlink()
    with pytest.raises(MissingFileError, match="under the media root"):
        show(tmp_path, "clip.mp4", wanted)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.ts", TEST_PATTERN])
def test_no_more_time_is_taken_than_there_is(media: Path, undisturbed: Undisturbed, name: str) -> None:
    with pytest.raises(TooSlowError):
        show(media, name, stored(undisturbed, name, 50), seconds=0.0)

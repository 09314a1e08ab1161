"""An AVI's index counts as at least what FFmpeg makes of it, and little more if the file is honest."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from app.video.avi_lists import _DIVIDED, AviEntries, count_entries
from app.video.file_window import FileWindow
from tests.support.clips import moving_boxes_clip
from tests.torture.openings import files

MIB = 2**20


def counted(data: bytes) -> AviEntries:
    return count_entries(FileWindow(BytesIO(data), 4096), len(data))


def made_by_ffmpeg(data: bytes) -> int:
    with av.open(BytesIO(data)) as container:
        return sum(len(stream.index_entries) for stream in container.streams)


@pytest.fixture(scope="module")
def with_sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An AVI of 100 pictures and 4 seconds of plain sound."""
    path = tmp_path_factory.mktemp("avi") / "a.avi"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for number in range(100):
            picture = av.VideoFrame(64, 48, "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(picture))
            part = AudioFrame.from_ndarray(np.zeros((1, 320), np.int16), format="s16", layout="mono")
            part.sample_rate, part.pts, part.time_base = 8000, 320 * number, Fraction(1, 8000)
            container.mux(sound.encode(part))
        container.mux(video.encode())
        container.mux(sound.encode())
    return path.read_bytes()


def test_an_honest_file_with_sound_is_counted_entry_by_entry(with_sound: bytes) -> None:
    entries = counted(with_sound)
    assert made_by_ffmpeg(with_sound) == 200
    assert entries.number == 200 + _DIVIDED
    assert entries.memory < 14 * MIB
    assert entries.tracks is None


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_off_has_no_index(with_sound: bytes, share: float) -> None:
    entries = counted(with_sound[: int(len(with_sound) * share)])
    assert entries.number == _DIVIDED


def test_a_file_without_sound_takes_nothing_beside_its_entries(tmp_path: Path) -> None:
    path = moving_boxes_clip(tmp_path / "a.avi", frames=16, size=(64, 48), codec="mpeg4")
    assert counted(path.read_bytes()).number == 16


def test_one_entry_of_sound_stands_for_many() -> None:
    data = files.avi_divided_sound(2)
    entries = counted(data)
    assert entries.number is not None
    assert 2 * 488_282 < made_by_ffmpeg(data) <= entries.number < 2 * 488_282 * 1.1


def test_lists_that_an_index_names_count() -> None:
    data = files.avi_named_lists(3, each=50)
    assert counted(data).number == made_by_ffmpeg(data) == 150


def test_no_more_is_counted_than_the_file_can_list() -> None:
    data = files.avi_named_lists(1, each=50).replace(b"\2\0\0\1\x32\0\0\0", b"\2\0\0\1\xff\xff\xff\x7f")
    entries = counted(data)
    assert entries.number is not None
    assert made_by_ffmpeg(data) <= entries.number < len(data) / 5


@pytest.mark.parametrize(
    ("usual", "unusual"),
    [
        (b"strh\x38\0\0\0", b"strh\x37\0\0\0"),
        (b"strf\x10\0\0\0", b"strf\x0e\0\0\0"),
        (b"LIST\x74\0\0\0strl", b"LIST\x10\0\0\0strl"),
        (b"LIST\x74\0\0\0strl", b"JUNK\0\0\0\x7fstrl"),
    ],
)
def test_an_unusual_file_counts_as_the_most_that_ffmpeg_may_take(usual: bytes, unusual: bytes) -> None:
    data = files.avi_divided_sound(2)
    assert usual in data
    entries = counted(data.replace(usual, unusual, 1))
    assert entries.number is None
    assert entries.tracks == 3
    assert 3 * 13 * MIB <= entries.memory < 3 * 14 * MIB


def test_other_containers_are_not_counted() -> None:
    assert counted(files.matroska_tags(0)) == AviEntries()
    assert counted(b"") == AviEntries()

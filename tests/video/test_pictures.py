"""Pictures: conversions agree with FFmpeg's, and which way is up follows the recording."""

import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import av
import cv2
import numpy as np
import pytest

from app.domain.networks import Networks
from app.domain.picture import Image
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.open import open_video
from app.video.pictures import AvPicture
from app.video.reading import SampledFrame
from app.video.recording import Recording
from tests.support import clips

FORMATS = [
    "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv411p", "nv12", "yuv420p10le",
    "yuva420p", "gray", "gray10le", "rgb24", "bgr24", "rgba", "gbrp", "monob",
]  # fmt: skip


def scene(width: int, height: int) -> Image:
    """Return a smooth picture with all colours."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.asarray(np.stack([x, y, (x + y) / 2], axis=-1), np.uint8)


def frame(format: str, width: int = 322, height: int = 181) -> av.VideoFrame:  # noqa: A002 - PyAV's name
    return av.VideoFrame.from_ndarray(scene(width, height), format="bgr24").reformat(format=format)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("width", [320, 322, 333])  # rows with padding, without, and of odd width
def test_conversions_agree_with_ffmpeg(format: str, width: int) -> None:  # noqa: A002
    decoded = frame(format, width, 180)
    picture = AvPicture(decoded)
    expected = decoded.to_ndarray(format="bgr24").astype(int)
    assert (picture.width, picture.height) == (width, 180)
    assert picture.bgr().shape == (180, width, 3)
    assert np.abs(picture.bgr() - expected).max() <= 4
    small = picture.bgr((160, 90))
    assert small.shape == (90, 160, 3)
    if format != "monob":
        assert np.abs(small - cv2.resize(expected.astype(np.uint8), (160, 90)).astype(int)).mean() < 3
    assert picture.gray().shape == (180, width)
    assert picture.gray((160, 90)).shape == (90, 160)
    assert picture.gray((400, 300)).shape == (300, 400)
    assert picture.gray().dtype == picture.bgr().dtype == np.uint8


def test_gray_of_a_full_range_frame_is_a_read_only_view() -> None:
    decoded = frame("yuvj420p")
    gray = AvPicture(decoded).gray()
    assert np.shares_memory(gray, np.frombuffer(memoryview(decoded.planes[0]), np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        gray[0, 0] = 1


def test_the_view_outlives_the_frame() -> None:
    gray = AvPicture(frame("yuvj420p")).gray()
    expected = AvPicture(frame("yuvj420p")).gray()
    for _ in range(20):
        frame("yuvj420p")
    assert np.array_equal(gray, expected)


def test_a_frame_is_freed_with_its_picture_and_not_by_the_garbage_collector() -> None:
    decoded = frame("yuv420p")
    references = sys.getrefcount(decoded)
    AvPicture(decoded).bgr()
    assert sys.getrefcount(decoded) == references


def test_full_range_is_respected_if_only_the_frame_declares_it() -> None:
    decoded = frame("yuvj420p", 320, 180)
    marked = av.VideoFrame.from_ndarray(decoded.to_ndarray(), format="yuv420p")
    marked.color_range = 2
    difference = AvPicture(marked).bgr((160, 90)).astype(int) - AvPicture(decoded).bgr((160, 90))
    assert np.abs(difference).max() == 0


@pytest.mark.parametrize("factor", [2, 3, 4, 6, 8, 12])
def test_shrinking_averages_all_covered_pixels(factor: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 960), np.uint8)
    picture = AvPicture(av.VideoFrame.from_ndarray(noise, format="gray"))
    small = picture.gray((960 // factor, 480 // factor))
    covered = noise.reshape(480 // factor, factor, 960 // factor, factor)
    assert np.abs(small - covered.mean(axis=(1, 3))).max() <= 1.5


@pytest.mark.parametrize("format", ["yuv420p", "yuv420p10le", "yuvj422p"])
def test_a_picture_is_thread_safe(format: str) -> None:  # noqa: A002
    picture = AvPicture(frame(format, 640, 360))
    expected = picture.bgr((320, 180)), picture.gray(), picture.bgr()
    with ThreadPoolExecutor(8) as threads:
        for result in threads.map(
            lambda _: (picture.bgr((320, 180)), picture.gray(), picture.bgr()), range(64)
        ):
            assert all(np.array_equal(got, wanted) for got, wanted in zip(result, expected, strict=True))


def with_matrix(path: Path, *matrix: int) -> Path:
    """Write a display matrix (its linear part, 1 for 1) into an mp4 file, as cameras and phones do."""
    data = bytearray(path.read_bytes())
    begin = data.index(b"tkhd") + 44
    a, b, c, d = (number << 16 for number in matrix)
    data[begin : begin + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def shown(matrix: tuple[int, int, int, int], stored: Image) -> Image:
    """Return the picture with each pixel (x, y) moved to (a·x + c·y, b·x + d·y)."""
    a, b, c, d = matrix
    rows, columns = np.indices(stored.shape)
    x, y = a * columns + c * rows, b * columns + d * rows
    x, y = x - x.min(), y - y.min()
    moved = np.empty((y.max() + 1, x.max() + 1), np.uint8)
    moved[y, x] = stored
    return moved


ORIENTATIONS = [
    (1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0),
    (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0),
]  # fmt: skip


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_a_recording_is_shown_as_its_display_matrix_says(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    """Phones store the picture as the sensor sees it, and beside it how it is turned and mirrored."""
    stored = clips.marker_picture(7, (320, 240))
    with_matrix(clips.encode(tmp_path / "phone.mp4", [stored] * 10), *matrix)
    upright = shown(matrix, stored)
    with open_video(parse_source("phone.mp4"), tmp_path, Networks(""), stop=Event()) as video:
        assert isinstance(video, Recording)
        entry = next(entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame))
        assert (video.media.height, video.media.width) == upright.shape
        assert video.media.mirrored == (matrix[0] * matrix[3] < matrix[1] * matrix[2])
        assert not video.warnings
    assert entry.picture is not None
    assert (entry.picture.height, entry.picture.width) == upright.shape
    expected = np.clip((upright.astype(float) - 16) / 219, 0, 1) * 255
    assert np.abs(entry.picture.gray() - expected).mean() < 4
    width, height = entry.picture.width // 2, entry.picture.height // 2
    halves = expected.reshape(height, 2, width, 2).mean(axis=(1, 3))
    assert np.abs(entry.picture.bgr((width, height)) - halves[..., None]).mean() < 4


@pytest.mark.parametrize("matrix", [(1, 1, -1, 1), (1, 0, 1, 1), (1, 0, 0, 0)])
def test_a_matrix_of_another_angle_is_told_and_not_guessed(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    stored = clips.marker_picture(7, (320, 240))
    with_matrix(clips.encode(tmp_path / "tilted.mp4", [stored] * 10), *matrix)
    with open_video(parse_source("tilted.mp4"), tmp_path, Networks(""), stop=Event()) as video:
        assert isinstance(video, Recording)
        assert [warning.code for warning in video.warnings] == ["rotation_ignored"]
        assert (video.media.width, video.media.height, video.media.rotation) == (320, 240, 0)

"""Pictures: conversions agree with FFmpeg's, and rotation follows the recording."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import av
import cv2
import numpy as np
import pytest

from app.domain.networks import Networks
from app.domain.picture import Image
from app.domain.source import parse_source
from app.domain.spec import EveryFrame
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


def test_gray_is_a_read_only_view_of_the_frame() -> None:
    decoded = frame("yuv420p")
    gray = AvPicture(decoded).gray()
    assert np.shares_memory(gray, np.frombuffer(memoryview(decoded.planes[0]), np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        gray[0, 0] = 1


def test_the_view_outlives_the_frame() -> None:
    gray = AvPicture(frame("yuv420p")).gray()
    expected = AvPicture(frame("yuv420p")).gray()
    for _ in range(20):
        frame("yuv420p")
    assert np.array_equal(gray, expected)


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


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_recording_is_rotated_upright(tmp_path: Path, degrees: int) -> None:
    """Phones store the picture as the sensor sees it, and its rotation beside it."""
    turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    upright = clips.marker_picture(7, (320, 240))
    stored = np.asarray(cv2.rotate(upright, turns[degrees]), np.uint8) if degrees else upright
    clips.encode(tmp_path / "phone.mp4", [stored] * 10, rotation=degrees)
    with open_video(parse_source("phone.mp4"), tmp_path, Networks(""), stop=Event()) as video:
        assert isinstance(video, Recording)
        entry = next(entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame))
        assert (video.media.width, video.media.height) == (320, 240)
    assert entry.picture is not None
    assert (entry.picture.width, entry.picture.height) == (320, 240)
    assert np.abs(entry.picture.gray().astype(int) - upright).mean() < 3
    assert (
        np.abs(entry.picture.bgr((160, 120))[:, :, 1].astype(int) - entry.picture.bgr()[::2, ::2, 1]).mean()
        < 20
    )

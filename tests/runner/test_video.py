"""Recordings of every kind, read as runs read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path
from threading import Event
from typing import NamedTuple

import cv2
import pytest

from app.runner.frames import Picture
from app.runner.sampling import Eligible
from app.runner.video import Recording, Sampled, Settled, open_video
from app.scenario import All, Fps, Sampling
from app.source import parse_source
from tests import clips

FRAMES = 96
SIZE = (256, 192)
KINDS: dict[str, clips.Encoding] = {
    "h264.mp4": {"gop": 24},
    "h264_open.mp4": {"gop": 24, "open_gop": True},
    "h264_pyramid.mkv": {
        "gop": 24,
        "options": {"x264-params": "keyint=24:scenecut=0:bframes=3:b-pyramid=normal"},
    },
    "h264_refresh.mp4": {"gop": 24, "bframes": 0, "options": {"intra-refresh": "1"}},
    "h264_one_gop.mp4": {"gop": 1000},
    "h264.ts": {"gop": 24},
    "h264.avi": {"gop": 24},
    "h264.h264": {"gop": 24},
    "h264.asf": {"gop": 24},
    "h264.flv": {"gop": 24},
    "h264_late.ts": {"gop": 24, "first_time": 5000.0},
    "hevc_open.mp4": {"codec": "hevc", "gop": 24, "open_gop": True},
    "hevc.ts": {"codec": "hevc", "gop": 24, "open_gop": True},
    "hevc.hevc": {"codec": "hevc", "gop": 24},
    "mpeg2.ts": {"codec": "mpeg2", "gop": 12},
    "mpeg2_open.mpg": {"codec": "mpeg2", "gop": 12, "open_gop": True},
    "mpeg4.avi": {"codec": "mpeg4", "gop": 24, "open_gop": True},
    "mjpeg.avi": {"codec": "mjpeg"},
    "vp8.webm": {"codec": "vp8", "gop": 24},
    "vp9.webm": {"codec": "vp9", "gop": 24},
    "ffv1.mkv": {"codec": "ffv1", "gop": 24},
}
TEST_PATTERN = "test:testsrc2?size=256x192&duration=3.2"


class Frame(NamedTuple):
    """What is compared: the ordinal, the time, and the picture's bytes or the error."""

    number: int
    time: float
    content: bytes | str


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name, encoding in KINDS.items():
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, **encoding)
    return folder


@contextmanager
def opened(media: Path, source: str) -> Iterator[Recording]:
    with open_video(parse_source(source), media, stop=Event()) as video:
        assert isinstance(video, Recording)
        yield video


def content(picture: Picture | None) -> bytes:
    assert picture is not None
    return blake2b(picture.gray().tobytes() + picture.bgr((64, 48)).tobytes()).digest()


def read(
    media: Path,
    source: str,
    sampling: Sampling | None = None,
    eligible: Eligible = "all",
    start: int = 0,
) -> list[Frame]:
    """Every sampled frame from `start` on, the promises about their order checked on the way."""
    frames: list[Frame] = []
    end = 0
    with opened(media, source) as video:
        for entry in video.frames(sampling or All(), eligible, start):
            if isinstance(entry, Settled):
                assert entry.end >= end
                end = entry.end
                assert not frames or frames[-1].number < end
            else:
                assert entry.frame >= max(end, start, frames[-1].number + 1 if frames else 0)
                frames.append(Frame(entry.frame, entry.time, entry.error or content(entry.picture)))
    return frames


@pytest.fixture(scope="module")
def undisturbed(media: Path) -> "Undisturbed":
    return Undisturbed(media)


class Undisturbed:
    """Every frame of a recording as read from its beginning, kept for the tests to compare with."""

    def __init__(self, media: Path) -> None:
        self.of = cache(lambda source: read(media, source))


def marker(picture: Picture | None) -> int | None:
    assert picture is not None
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    _, ids, _ = detector.detectMarkers(picture.gray())
    return None if ids is None else int(ids[0][0])


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_comes_under_its_ordinal(media: Path, name: str) -> None:
    with opened(media, name) as video:
        entries = list(video.frames(All(), "all"))
    frames = [entry for entry in entries if isinstance(entry, Sampled)]
    assert [entry.frame for entry in frames] == list(range(FRAMES))
    assert [marker(entry.picture) for entry in frames] == list(range(FRAMES))
    assert [entry.time for entry in frames] == pytest.approx([n / 30 for n in range(FRAMES)], abs=0.0011)
    assert entries[-1] == Settled(FRAMES, frames[-1].time)
    assert (video.media.width, video.media.height, video.media.live) == (*SIZE, False)


@pytest.mark.parametrize("start", [1, 7, 23, 24, 25, 47, 70, FRAMES - 1])
@pytest.mark.parametrize("name", [*KINDS, TEST_PATTERN])
def test_a_resumed_read_gives_the_same_bytes(
    media: Path, undisturbed: Undisturbed, name: str, start: int
) -> None:
    assert read(media, name, start=start) == undisturbed.of(name)[start:]


@pytest.mark.parametrize("fps", [1, 4, 11])
@pytest.mark.parametrize("eligible", ["all", "reference", "key"])
@pytest.mark.parametrize("name", [*KINDS, TEST_PATTERN])
def test_what_is_sampled_is_what_an_undisturbed_read_of_everything_shows(
    media: Path, undisturbed: Undisturbed, name: str, eligible: Eligible, fps: float
) -> None:
    if name == "h264_refresh.mp4" and eligible == "key":
        pytest.skip("its key frames become whole only with the pictures after them")
    everything = undisturbed.of(name)
    sampled = read(media, name, Fps(fps), eligible)
    assert sampled
    assert sampled == [everything[frame.number] for frame in sampled]
    for start in (1, 40, 66):
        resumed = read(media, name, Fps(fps), eligible, start)
        assert resumed == [frame for frame in sampled if frame.number >= start]

"""Recordings read as runs read them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path
from threading import Event
from typing import NamedTuple

import cv2

from app.domain.networks import Networks
from app.domain.picture import Picture
from app.domain.sampling import CandidateFrames, EveryFrame, Sampling
from app.domain.source import parse_source
from app.video.open import open_video
from app.video.reading import Watermark
from app.video.recording import Recording

SIZE = (256, 192)


class Frame(NamedTuple):
    """What is compared: the ordinal, the time, and the picture's bytes or the error."""

    number: int
    time: float
    content: bytes | str


@contextmanager
def opened(media: Path, source: str) -> Iterator[Recording]:
    with open_video(parse_source(source), media, Networks(""), stop=Event()) as video:
        assert isinstance(video, Recording)
        yield video


def content(picture: Picture | None) -> bytes:
    assert picture is not None
    return blake2b(picture.gray().tobytes() + picture.bgr((64, 48)).tobytes()).digest()


def read(
    media: Path,
    source: str,
    sampling: Sampling | None = None,
    candidates: CandidateFrames = "all",
    start: int = 0,
) -> list[Frame]:
    """Every sampled frame from `start` on, the promises about their order checked on the way."""
    frames: list[Frame] = []
    end = 0
    with opened(media, source) as video:
        for entry in video.frames(sampling or EveryFrame(), candidates, start):
            if isinstance(entry, Watermark):
                assert entry.end >= end
                end = entry.end
                assert not frames or frames[-1].number < end
            else:
                assert entry.frame >= max(end, start, frames[-1].number + 1 if frames else 0)
                frames.append(Frame(entry.frame, entry.time, entry.error or content(entry.picture)))
    return frames


class Undisturbed:
    """Every frame of a recording as read from its beginning, kept for the tests to compare with."""

    def __init__(self, media: Path) -> None:
        self.of = cache(lambda source: read(media, source))


def marker(picture: Picture | None) -> int | None:
    assert picture is not None
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    found, ids, _ = detector.detectMarkers(picture.gray())
    return int(ids[0][0]) if found else None

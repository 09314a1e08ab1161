"""What the tests of faults share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.reading import SampledFrame
from app.video.recording import Recording

FRAMES = 120
LOOPBACK = Networks("loopback")
SIZE = (256, 192)


@contextmanager
def opened(media: Path, source: str) -> Iterator[Recording]:
    with open_video(
        parse_source(source), media, LOOPBACK, stop=Event(), open_timeout=2, read_timeout=1
    ) as video:
        assert isinstance(video, Recording)
        yield video


def fault(media: Path, source: str) -> VideoError:
    """The error that opening or reading the source ends with."""
    with pytest.raises(VideoError) as caught:
        read(media, source)
    return caught.value


def read(media: Path, source: str) -> list[SampledFrame]:
    with opened(media, source) as video:
        return [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]


def read_to_the_fault(media: Path, source: str) -> tuple[list[SampledFrame], VideoError]:
    frames: list[SampledFrame] = []
    with opened(media, source) as video, pytest.raises(VideoError) as caught:
        frames.extend(entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame))
    return frames, caught.value

"""Read from RTSP servers on loopback, for tests."""

from pathlib import Path
from threading import Event

import pytest

from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.camera import Camera
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.reading import SampledFrame, Watermark
from tests.support.hostile_servers import HERE


def received(url: str, count: int = 10, networks: str = HERE) -> int:
    """Read `count` frames, and return how many came. Raises VideoError."""
    stop = Event()
    with open_video(
        parse_source(url), Path(), Networks(networks), stop=stop, open_timeout=4, read_timeout=2
    ) as video:
        assert isinstance(video, Camera)
        frames = 0
        for entry in video.frames(EveryFrame()):
            frames += isinstance(entry, SampledFrame | Watermark)
            if frames == count:
                break
    return frames


def fault(url: str, networks: str = HERE) -> VideoError:
    with pytest.raises(VideoError) as caught:
        received(url, networks=networks)
    return caught.value

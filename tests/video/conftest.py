"""Fixtures of the tests of reading: a camera's clip, recordings, and what stops reading."""

from pathlib import Path
from threading import Event

import pytest

from tests.support import clips
from tests.video.faults import FRAMES, SIZE
from tests.video.watching import GOP


@pytest.fixture
def stop() -> Event:
    return Event()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.marker_clip(
        tmp_path_factory.mktemp("camera") / "clip.mp4", frames=FRAMES, gop=GOP, size=(320, 240), bframes=0
    )


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in ("clip.mp4", "clip.mkv", "clip.flv", "clip.avi", "clip.ts"):
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, gop=24)
    for name, flags in (("fast.mp4", "faststart"), ("fragments.mp4", "frag_keyframe+empty_moov")):
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, gop=24, muxer_options={"movflags": flags})
    for name in ("big.mkv", "big.mp4"):
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, codec="mjpeg")
    return folder

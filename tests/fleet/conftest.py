"""Clips for the fleet to work on."""

from pathlib import Path

import pytest

from tests.clips import marker_clip


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of 90, 300 and 1800 frames (short.mp4, clip.mp4, minute.mp4) whose frames name themselves."""
    folder = tmp_path_factory.mktemp("media")
    for name, frames in (("short", 90), ("clip", 300), ("minute", 1800)):
        marker_clip(folder / f"{name}.mp4", frames=frames)
    return folder

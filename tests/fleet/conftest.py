"""Clips for the fleet to work on."""

from pathlib import Path

import pytest

from tests.support.clips import marker_clip


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips whose frames name themselves, called by their number of frames.

    The shortest has small pictures, because what it is for is many scenarios at a time.
    """
    folder = tmp_path_factory.mktemp("media")
    marker_clip(folder / "90.mp4", frames=90, size=(256, 192))
    for frames in (300, 1800):
        marker_clip(folder / f"{frames}.mp4", frames=frames)
    return folder

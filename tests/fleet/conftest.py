"""Clips for the fleet to work on."""

from pathlib import Path

import pytest

from tests.support.clips import marker_clip


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips whose frames name themselves, called by their number of frames."""
    folder = tmp_path_factory.mktemp("media")
    for frames in (90, 300, 700, 1800):
        marker_clip(folder / f"{frames}.mp4", frames=frames)
    return folder

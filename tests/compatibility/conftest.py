"""The release that this version must work with, and clips to work on."""

from pathlib import Path

import pytest

from tests.compatibility.release import release
from tests.support.clips import marker_clip


@pytest.fixture(scope="session")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the previous release's code."""
    return release("0.1.0", tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips whose frames name themselves, called by their number of frames."""
    folder = tmp_path_factory.mktemp("media")
    for frames in (90, 1800):
        marker_clip(folder / f"{frames}.mp4", frames=frames)
    return folder

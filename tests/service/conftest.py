"""Clips that several tests of the service read, made once a session."""

from pathlib import Path

import pytest

from tests.support.clips import marker_clip


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with minute.mp4 (1800 frames) and short.mp4 (90 frames), whose frames name themselves."""
    folder = tmp_path_factory.mktemp("clips")
    marker_clip(folder / "minute.mp4", frames=1800)
    marker_clip(folder / "short.mp4", frames=90)
    return folder

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.postgres import Database
from tests.runner.pipelines import HeldDetector
from tests.runner.runs import World
from tests.support.clips import marker_clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    marker_clip(folder / "short.mp4", frames=90)
    return folder


@pytest.fixture(params=["thread", "process"])
def world(predictions: Database, clips: Path, request: pytest.FixtureRequest) -> World:
    return World(predictions, clips, request.param)


@pytest.fixture
def threaded(predictions: Database, clips: Path) -> World:
    """Where the test reaches into what decodes."""
    return World(predictions, clips)


@pytest.fixture
def held() -> Iterator[HeldDetector]:
    held = HeldDetector()
    yield held
    held.release(*range(100))

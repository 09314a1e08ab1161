"""A yard for each test."""

from pathlib import Path

import pytest

from tests.orchestrator.batches.yard import Yard
from tests.orchestrator.conftest import World


@pytest.fixture
def yard(world: World, tmp_path: Path) -> Yard:
    (tmp_path / "media").mkdir()
    return Yard(world, tmp_path / "media")

from collections.abc import Iterator

import pytest

from tests.runner.pipelines import HeldDetector


@pytest.fixture
def held() -> Iterator[HeldDetector]:
    held = HeldDetector()
    yield held
    held.release(*range(100))

"""The bus under test, once for each backend."""

from collections.abc import AsyncGenerator

import pytest

from app.bus import Bus
from tests.bus.harness import Harness, MemoryHarness


@pytest.fixture(params=["memory"])
async def harness(request: pytest.FixtureRequest) -> AsyncGenerator[Harness, None]:
    harness = {"memory": MemoryHarness}[request.param]()
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture
def bus(harness: Harness) -> Bus:
    return harness.bus

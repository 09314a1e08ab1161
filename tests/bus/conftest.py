"""The bus under test, once for each backend."""

from collections.abc import AsyncGenerator

import pytest

from app.bus import Bus
from tests.bus.harness import Harness, MemoryHarness
from tests.bus.kafka import KafkaHarness


@pytest.fixture(params=["memory", "kafka"])
async def harness(request: pytest.FixtureRequest) -> AsyncGenerator[Harness, None]:
    harness = MemoryHarness() if request.param == "memory" else KafkaHarness(request.getfixturevalue("kafka"))
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture
def bus(harness: Harness) -> Bus:
    return harness.bus

"""The bus under test, once per backend, and brokers that only one test uses at a time."""

import socket
from collections.abc import AsyncGenerator

import pytest

from app.bus import Bus
from tests.bus.harness import Harness, MemoryHarness
from tests.bus.kafka.harness import KafkaHarness


@pytest.fixture(params=["memory", "kafka"])
async def harness(request: pytest.FixtureRequest) -> AsyncGenerator[Harness, None]:
    harness = MemoryHarness() if request.param == "memory" else KafkaHarness(request.getfixturevalue("kafka"))
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture
def bus(harness: Harness) -> Bus:
    return harness.bus


@pytest.fixture
def free_address() -> str:
    """An address on which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"

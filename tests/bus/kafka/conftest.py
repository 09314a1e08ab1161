"""The bus on Kafka, and the consumer sessions that it starts."""

from collections.abc import AsyncGenerator, Callable

import pytest

from app.bus.kafka.session import ConsumerSession
from tests.bus.kafka.harness import KafkaHarness


@pytest.fixture
async def harness(kafka: str) -> AsyncGenerator[KafkaHarness, None]:
    harness = KafkaHarness(kafka)
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[ConsumerSession]:
    """The sessions that consumers started, oldest first."""
    started: list[ConsumerSession] = []

    class RecordedSession(ConsumerSession):
        async def run(self, on_ready: Callable[[], None]) -> None:
            started.append(self)
            await super().run(on_ready)

    monkeypatch.setattr("app.bus.kafka.bus.ConsumerSession", RecordedSession)
    return started

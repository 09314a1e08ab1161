"""What the contract suite needs of a backend besides the `Bus` protocol, and the topics of the tests."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

from app.bus import Bus
from app.bus.delivery import DeadLetter, RetryPolicy
from app.bus.memory import MemoryBus, open_memory_bus
from app.messages import Message, Topic

MAX_DELIVERIES = 3
QUEUE_SIZE = 64
RETRY = RetryPolicy(max_deliveries=MAX_DELIVERIES, first_retry=0.001, longest_retry=0.01)


class Note(Message, frozen=True):
    """A message of the tests."""

    key: str
    number: int = 0


READERS, AUDITORS = "readers", "auditors"
notes = Topic("test_notes", (Note,), groups=(READERS,))
ledger = Topic("test_ledger", (Note,), groups=(READERS, AUDITORS))
news = Topic("test_news", (Note,))
TEST_TOPICS = (notes, ledger, news)


class Harness(Protocol):
    """One backend under test, with `RETRY` as its policy and no messages of other tests."""

    @property
    def bus(self) -> Bus:
        """The open bus."""

    async def reopen(self) -> None:
        """Close the bus and open another on the same backend, as a restarted process would."""

    async def publish_raw(self, topic: Topic, data: bytes, key: str) -> None:
        """Publish bytes that need not be a valid message."""

    async def dead_letters(self, topic: Topic) -> Sequence[DeadLetter]:
        """Return the messages on `<topic>.dead`, oldest first."""

    async def close(self) -> None:
        """Close the bus and release what the backend uses."""


class MemoryHarness:
    """The in-memory bus."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.bus: MemoryBus

    async def open(self) -> None:
        self.bus = await self._stack.enter_async_context(open_memory_bus(RETRY, queue_size=QUEUE_SIZE))

    async def reopen(self) -> None:
        await self.close()
        await self.open()

    async def publish_raw(self, topic: Topic, data: bytes, key: str) -> None:
        await self.bus._send(topic, data, key)

    async def dead_letters(self, topic: Topic) -> Sequence[DeadLetter]:
        return self.bus.dead_letters(topic)

    async def close(self) -> None:
        await self._stack.aclose()

"""The bus inside one process: no broker, same wire format, same contract.

A publisher is let go once every declared group has handled its message, so nothing that was published is
kept in memory alone.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from zlib import crc32

from anyio import TASK_STATUS_IGNORED, create_task_group
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from ..messages import Message, Topic
from . import BusUnavailableError, Handler
from .delivery import Courier, DeadLetter
from .subscription import Reader


class MemoryBus:
    """A `Bus` within this process; see `open_memory_bus`."""

    def __init__(self, courier: Courier, *, partitions: int, queue_size: int, dead_letter_limit: int) -> None:
        self._courier = courier
        self._partitions = partitions
        self._slack = max(1, queue_size // partitions)
        self._dead_letter_limit = dead_letter_limit
        self._groups: dict[tuple[str, str], Reader] = {}
        self._tails: dict[str, list[Reader]] = {}
        self._dead: dict[str, deque[DeadLetter]] = {}
        self._keys = _key_of_each(partitions)
        self._closed = False

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        """See `Bus`. Raises BusUnavailableError once the bus is closed, also while waiting.

        Cancelled, it promises nothing: a group that had not begun with the message never sees it.
        """
        self._courier.refuse_handlers()
        await self._send(topic, topic.encode(message), key)

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """See `Bus`. One consumer handles messages of several keys at once. Raises BusUnavailableError."""
        self._require_open()
        if group is None:
            with self._tail(topic) as reader:
                await self._feed(reader, handler, task_status)
        elif group in topic.groups:
            await self._feed(self._group(topic, group), handler, task_status)
        else:
            raise ValueError(f"{topic.name} declares no group {group!r}")

    def partition_keys(self, topic: Topic) -> Sequence[str]:  # noqa: ARG002  every topic has the same
        """See `Bus`."""
        return self._keys

    def dead_letters(self, topic: Topic) -> Sequence[DeadLetter]:
        """The newest dead letters of the topic, oldest first."""
        return tuple(self._dead.get(topic.name, ()))

    def close(self) -> None:
        """Let every waiting publisher go with BusUnavailableError, and refuse new ones."""
        self._closed = True
        for reader in (*self._groups.values(), *(tail for tails in self._tails.values() for tail in tails)):
            reader.release_all(False)

    async def _send(self, topic: Topic, data: bytes, key: str) -> None:
        self._require_open()
        readers = [*(self._group(topic, group) for group in topic.groups), *self._tails.get(topic.name, ())]
        number = _partition(key, self._partitions)
        # Queued with every reader before the first wait: so the order per key is that of the calls.
        queued = [(reader, lane := reader.lanes[number], reader.add(lane, key, data)) for reader in readers]
        try:
            for _, _, delivery in queued:
                if not await delivery.released:
                    raise BusUnavailableError("the bus was closed before the message was handled")
            await checkpoint()
        except asyncio.CancelledError:
            for reader, lane, delivery in queued:
                reader.withdraw(lane, delivery)
            raise

    async def _feed(self, reader: Reader, handler: Handler, task_status: TaskStatus[None]) -> None:
        async with create_task_group() as workers:
            # As many as there are lanes, so that a lane that waits between tries never holds up another.
            for _ in range(self._partitions):
                workers.start_soon(self._work, reader, handler)
            task_status.started()

    async def _work(self, reader: Reader, handler: Handler) -> None:
        while True:
            lane = await reader.ready.get()
            with reader.hold(lane) as delivery:
                if delivery is not None:
                    letter = await self._courier.deliver(delivery, handler)
                    if letter is not None:
                        self._bury(letter)
                    reader.remove(lane, delivery)
            await checkpoint()

    @contextmanager
    def _tail(self, topic: Topic) -> Iterator[Reader]:
        reader = Reader(topic, None, self._partitions, self._slack)
        tails = self._tails.setdefault(topic.name, [])
        tails.append(reader)
        try:
            yield reader
        finally:
            tails.remove(reader)
            reader.release_all(True)

    def _group(self, topic: Topic, group: str) -> Reader:
        name = (topic.name, group)
        if name not in self._groups:
            self._groups[name] = Reader(topic, group, self._partitions, slack=0)
        return self._groups[name]

    def _bury(self, letter: DeadLetter) -> None:
        self._dead.setdefault(letter.topic, deque(maxlen=self._dead_letter_limit)).append(letter)

    def _require_open(self) -> None:
        if self._closed:
            raise BusUnavailableError("the bus is closed")


@asynccontextmanager
async def open_memory_bus(
    *,
    max_deliveries: int = 5,
    transient: tuple[type[Exception], ...] = (OSError, TimeoutError),
    first_retry: float = 0.1,
    longest_retry: float = 5.0,
    partitions: int = 8,
    queue_size: int = 1024,
    dead_letter_limit: int = 1000,
) -> AsyncGenerator[MemoryBus, None]:
    """A bus for the tasks of this process; leaving the block closes it.

    For `max_deliveries`, `transient` and the retry times (seconds) see `Courier`. Keys share `partitions`
    lanes: within a lane messages are handled one by one. A consumer without a group may lag `queue_size`
    messages behind, split evenly over its lanes. A topic keeps its newest `dead_letter_limit` dead letters.
    """
    courier = Courier(
        max_deliveries=max_deliveries,
        transient=transient,
        first_retry=first_retry,
        longest_retry=longest_retry,
    )
    bus = MemoryBus(
        courier, partitions=partitions, queue_size=queue_size, dead_letter_limit=dead_letter_limit
    )
    try:
        yield bus
    finally:
        bus.close()


def _partition(key: str, partitions: int) -> int:
    return crc32(key.encode()) % partitions


def _key_of_each(partitions: int) -> tuple[str, ...]:
    keys: dict[int, str] = {}
    for number in count():
        keys.setdefault(_partition(f"partition-{number}", partitions), f"partition-{number}")
        if len(keys) == partitions:
            break
    return tuple(keys[partition] for partition in range(partitions))

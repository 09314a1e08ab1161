"""The bus inside one process: no broker, the same wire format and the same contract.

`publish` returns when every declared group has handled the message, so no published message exists only in
memory.
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
from .delivery import DeadLetter, Deliverer, RetryPolicy
from .subscription import Subscription


class MemoryBus:
    """A `Bus` within this process; see `open_memory_bus`."""

    def __init__(
        self, deliverer: Deliverer, *, partitions: int, queue_size: int, dead_letter_limit: int
    ) -> None:
        self._deliverer = deliverer
        self._partitions = partitions
        self._max_lag = max(1, queue_size // partitions)
        self._dead_letter_limit = dead_letter_limit
        self._groups: dict[tuple[str, str], Subscription] = {}
        self._without_group: dict[str, list[Subscription]] = {}
        self._dead: dict[str, deque[DeadLetter]] = {}
        self._keys = _key_of_each(partitions)
        self._closed = False

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        """See `Bus`. If it is cancelled, a group that has not begun with the message never receives it."""
        self._deliverer.forbid_in_handler()
        await self._send(topic, topic.encode(message), key)

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """See `Bus`. One consumer handles messages of several partitions at the same time."""
        self._require_open()
        if group is None:
            with self._subscribe_without_group(topic) as subscription:
                await self._consume(subscription, handler, task_status)
        elif group in topic.groups:
            await self._consume(self._group(topic, group), handler, task_status)
        else:
            raise ValueError(f"{topic.name} declares no group {group!r}")

    def partition_keys(self, topic: Topic) -> Sequence[str]:  # noqa: ARG002  the same for every topic
        """See `Bus`."""
        return self._keys

    def dead_letters(self, topic: Topic) -> Sequence[DeadLetter]:
        """Return the newest dead letters of the topic, oldest first."""
        return tuple(self._dead.get(topic.name, ()))

    def close(self) -> None:
        """Make waiting publishers raise BusUnavailableError, and refuse new ones."""
        self._closed = True
        without_group = (each for those in self._without_group.values() for each in those)
        for subscription in (*self._groups.values(), *without_group):
            subscription.release_publishers(False)

    async def _send(self, topic: Topic, data: bytes, key: str) -> None:
        self._require_open()
        subscriptions = [
            *(self._group(topic, group) for group in topic.groups),
            *self._without_group.get(topic.name, ()),
        ]
        number = _partition_number(key, self._partitions)
        # All subscriptions get the message before the first await, so the order per key is that of the calls.
        queued = [
            (
                subscription,
                partition := subscription.partitions[number],
                subscription.add(partition, key, data),
            )
            for subscription in subscriptions
        ]
        try:
            for _, _, delivery in queued:
                if not await delivery.accepted:
                    raise BusUnavailableError("the bus was closed before the message was handled")
            await checkpoint()
        except asyncio.CancelledError:
            for subscription, partition, delivery in queued:
                subscription.withdraw(partition, delivery)
            raise

    async def _consume(
        self, subscription: Subscription, handler: Handler, task_status: TaskStatus[None]
    ) -> None:
        async with create_task_group() as workers:
            # One worker per partition, so that a partition in its backoff never delays another one.
            for _ in range(self._partitions):
                workers.start_soon(self._work, subscription, handler)
            task_status.started()

    async def _work(self, subscription: Subscription, handler: Handler) -> None:
        while True:
            partition = await subscription.ready.get()
            with subscription.hold(partition) as delivery:
                if delivery is not None:
                    letter = await self._deliverer.deliver(delivery, handler)
                    if letter is not None:
                        self._send_to_dead_letter(letter)
                    subscription.remove(partition, delivery)
            await checkpoint()

    @contextmanager
    def _subscribe_without_group(self, topic: Topic) -> Iterator[Subscription]:
        subscription = Subscription(topic, None, self._partitions, self._max_lag)
        subscriptions = self._without_group.setdefault(topic.name, [])
        subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            subscriptions.remove(subscription)
            subscription.release_publishers(True)

    def _group(self, topic: Topic, group: str) -> Subscription:
        name = (topic.name, group)
        if name not in self._groups:
            self._groups[name] = Subscription(topic, group, self._partitions, max_lag=0)
        return self._groups[name]

    def _send_to_dead_letter(self, letter: DeadLetter) -> None:
        self._dead.setdefault(letter.topic, deque(maxlen=self._dead_letter_limit)).append(letter)

    def _require_open(self) -> None:
        if self._closed:
            raise BusUnavailableError("the bus is closed")


@asynccontextmanager
async def open_memory_bus(
    retry: RetryPolicy | None = None,
    *,
    partitions: int = 8,
    queue_size: int = 1024,
    dead_letter_limit: int = 1000,
) -> AsyncGenerator[MemoryBus, None]:
    """Open a bus for the tasks of this process. It is closed when the block ends.

    Keys are hashed to `partitions`; the messages of one partition are handled one by one. A consumer without
    a group may lag up to `queue_size` messages behind, divided evenly among its partitions. The newest
    `dead_letter_limit` dead letters of each topic are kept.
    """
    bus = MemoryBus(
        Deliverer(retry), partitions=partitions, queue_size=queue_size, dead_letter_limit=dead_letter_limit
    )
    try:
        yield bus
    finally:
        bus.close()


def _partition_number(key: str, partitions: int) -> int:
    return crc32(key.encode()) % partitions


def _key_of_each(partitions: int) -> tuple[str, ...]:
    """Return one key for each partition, in the order of the partitions."""
    keys: dict[int, str] = {}
    for number in count():
        keys.setdefault(_partition_number(f"partition-{number}", partitions), f"partition-{number}")
        if len(keys) == partitions:
            break
    return tuple(keys[partition] for partition in range(partitions))

"""A subscription on the in-memory bus keeps messages until they are handled, in order per key."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ..messages import Topic
from .delivery import Delivery


class QueuedDelivery(Delivery, eq=False, kw_only=True):
    """A delivery whose publisher waits for `accepted`: true if it was accepted, false if the bus closed."""

    accepted: asyncio.Future[bool]

    def release_publisher(self, accepted: bool) -> None:
        if not self.accepted.done():
            self.accepted.set_result(accepted)


class Partition:
    """The messages of the keys that have one hash, oldest first. One worker at a time handles them."""

    def __init__(self) -> None:
        self.queue: deque[QueuedDelivery] = deque()
        self.is_scheduled = False  # it is in `ready`, or a worker has it
        self.current: QueuedDelivery | None = None


class Subscription:
    """The messages of a topic for one reader: a declared group, or one consumer without a group.

    If `max_lag` is 0, a publisher waits until its message is handled. Otherwise it waits while at least
    `max_lag` messages of the same partition are before its own.
    """

    def __init__(self, topic: Topic, group: str | None, partitions: int, max_lag: int) -> None:
        self._topic = topic
        self._group = group
        self._max_lag = max_lag
        self.partitions = [Partition() for _ in range(partitions)]
        self.ready: asyncio.Queue[Partition] = asyncio.Queue()

    def add(self, partition: Partition, key: str, data: bytes) -> QueuedDelivery:
        delivery = QueuedDelivery(
            topic=self._topic,
            group=self._group,
            key=key,
            data=data,
            accepted=asyncio.get_running_loop().create_future(),
        )
        partition.queue.append(delivery)
        if len(partition.queue) <= self._max_lag:
            delivery.release_publisher(True)
        if not partition.is_scheduled:
            self._schedule(partition)
        return delivery

    def remove(self, partition: Partition, delivery: QueuedDelivery) -> None:
        """Remove a delivery and release its publisher and the one that waited for room."""
        partition.queue.remove(delivery)
        delivery.release_publisher(True)
        if 0 < self._max_lag <= len(partition.queue):
            partition.queue[self._max_lag - 1].release_publisher(True)

    def withdraw(self, partition: Partition, delivery: QueuedDelivery) -> None:
        """Remove a delivery whose publisher was cancelled, unless a worker is handling it or it is gone."""
        if delivery is not partition.current and delivery in partition.queue:
            self.remove(partition, delivery)

    @contextmanager
    def hold(self, partition: Partition) -> Iterator[QueuedDelivery | None]:
        """Give a worker the partition's oldest delivery; afterwards schedule the partition again."""
        partition.current = partition.queue[0] if partition.queue else None
        try:
            yield partition.current
        finally:
            partition.current = None
            partition.is_scheduled = False
            if partition.queue:
                self._schedule(partition)

    def release_publishers(self, accepted: bool) -> None:
        for partition in self.partitions:
            for delivery in partition.queue:
                delivery.release_publisher(accepted)

    def _schedule(self, partition: Partition) -> None:
        partition.is_scheduled = True
        self.ready.put_nowait(partition)

"""Where the in-memory bus keeps messages until they are handled: in order per key, within bounds."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ..messages import Topic
from .delivery import Delivery


class Queued(Delivery, eq=False, kw_only=True):
    """A delivery whose publisher waits for `released`: true once it may go, false where the bus closed."""

    released: asyncio.Future[bool]

    def release(self, handed_over: bool) -> None:
        if not self.released.done():
            self.released.set_result(handed_over)


class Lane:
    """The messages of keys that hash alike, oldest first. One worker at a time holds it."""

    def __init__(self) -> None:
        self.queue: deque[Queued] = deque()
        self.scheduled = False  # it waits in `ready`, or a worker holds it
        self.in_hand: Queued | None = None


class Reader:
    """One reader of a topic: a declared group, or a single consumer without one.

    A publisher waits while `slack` or more messages of its lane are before its own; without slack, until
    its own is handled.
    """

    def __init__(self, topic: Topic, group: str | None, lanes: int, slack: int) -> None:
        self._topic = topic
        self._group = group
        self._slack = slack
        self.lanes = [Lane() for _ in range(lanes)]
        self.ready: asyncio.Queue[Lane] = asyncio.Queue()

    def add(self, lane: Lane, key: str, data: bytes) -> Queued:
        delivery = Queued(
            topic=self._topic,
            group=self._group,
            key=key,
            data=data,
            released=asyncio.get_running_loop().create_future(),
        )
        lane.queue.append(delivery)
        if len(lane.queue) <= self._slack:
            delivery.release(True)
        if not lane.scheduled:
            self._schedule(lane)
        return delivery

    def remove(self, lane: Lane, delivery: Queued) -> None:
        """Take a delivery out, and let go whoever waited for the room."""
        lane.queue.remove(delivery)
        delivery.release(True)
        if 0 < self._slack <= len(lane.queue):
            lane.queue[self._slack - 1].release(True)

    def withdraw(self, lane: Lane, delivery: Queued) -> None:
        """Take back what its publisher no longer waits for, unless a worker has it or it is gone."""
        if delivery is not lane.in_hand and delivery in lane.queue:
            self.remove(lane, delivery)

    @contextmanager
    def hold(self, lane: Lane) -> Iterator[Queued | None]:
        """The lane's oldest delivery, for a worker; however that ends, the lane goes on."""
        lane.in_hand = lane.queue[0] if lane.queue else None
        try:
            yield lane.in_hand
        finally:
            lane.in_hand = None
            lane.scheduled = False
            if lane.queue:
                self._schedule(lane)

    def release_all(self, handed_over: bool) -> None:
        for lane in self.lanes:
            for delivery in lane.queue:
                delivery.release(handed_over)

    def _schedule(self, lane: Lane) -> None:
        lane.scheduled = True
        self.ready.put_nowait(lane)

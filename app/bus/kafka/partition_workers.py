"""The partitions that one consumer has in hand: side by side, and each one message by message."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from anyio import CancelScope, Event, move_on_after
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

# A partition with this many messages in hand is not fetched from until few are left.
MANY, _FEW = 1000, 500


class _Lane:
    def __init__(self) -> None:
        self.records: asyncio.Queue[ConsumerRecord] = asyncio.Queue()
        self.paused = False
        self.busy = False
        self.closing = False
        self.scope = CancelScope()
        self.ended = Event()


class Lanes:
    """Handles records by partition; `moved` is told the offset after each one handled."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        workers: TaskGroup,
        handle: Callable[[ConsumerRecord], Awaitable[None]],
        moved: Callable[[TopicPartition, int], None],
    ) -> None:
        self._consumer = consumer
        self._workers = workers
        self._handle = handle
        self._moved = moved
        self._lanes: dict[TopicPartition, _Lane] = {}

    def put(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        """Take in what was fetched of a partition, in its order."""
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = _Lane()
            self._workers.start_soon(self._work, partition, lane)
        for record in records:
            lane.records.put_nowait(record)
        if lane.records.qsize() >= MANY:
            lane.paused = True
            self._consumer.pause(partition)

    async def close(self, grace: float) -> None:
        """Let what is in hand be finished within `grace` seconds, else abandon it, and forget the rest."""
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            lane.closing = True
            if not lane.busy:
                lane.scope.cancel()
        await _ended(lanes, grace)
        for lane in lanes:
            lane.scope.cancel()
        await _ended(lanes, grace)

    async def _work(self, partition: TopicPartition, lane: _Lane) -> None:
        try:
            with lane.scope:
                while not lane.closing:
                    record = await lane.records.get()
                    lane.busy = True
                    await self._handle(record)
                    lane.busy = False
                    self._moved(partition, record.offset + 1)
                    if lane.paused and lane.records.qsize() <= _FEW:
                        lane.paused = False
                        self._consumer.resume(partition)
                    await checkpoint()
        finally:
            lane.ended.set()


async def _ended(lanes: Sequence[_Lane], seconds: float) -> None:
    with move_on_after(seconds):
        for lane in lanes:
            await lane.ended.wait()

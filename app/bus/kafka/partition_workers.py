"""Workers of one consumer: one per partition, each handling its messages one by one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from anyio import CancelScope, Event, move_on_after
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

# Fetching from a partition stops at the first number of waiting messages, and continues at the second.
_PAUSE_AT, _RESUME_AT = 1000, 500


class _Worker:
    def __init__(self) -> None:
        self.records: asyncio.Queue[ConsumerRecord] = asyncio.Queue()
        self.is_paused = False
        self.is_busy = False
        self.is_closing = False
        self.scope = CancelScope()
        self.ended = Event()


class PartitionWorkers:
    """Handles records by partition. `advance` is called with the offset after each handled record."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        tasks: TaskGroup,
        handle: Callable[[ConsumerRecord], Awaitable[None]],
        advance: Callable[[TopicPartition, int], None],
    ) -> None:
        self._consumer = consumer
        self._tasks = tasks
        self._handle = handle
        self._advance = advance
        self._workers: dict[TopicPartition, _Worker] = {}

    def put(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        """Queue records of a partition in their order."""
        worker = self._workers.get(partition)
        if worker is None:
            worker = self._workers[partition] = _Worker()
            self._tasks.start_soon(self._work, partition, worker)
        for record in records:
            worker.records.put_nowait(record)
        if worker.records.qsize() >= _PAUSE_AT:
            worker.is_paused = True
            self._consumer.pause(partition)

    async def close(self, grace: float) -> None:
        """Give the records in handlers `grace` seconds to finish, then cancel them; drop the rest."""
        workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.is_closing = True
            if not worker.is_busy:
                worker.scope.cancel()
        await _wait_for_end(workers, grace)
        for worker in workers:
            worker.scope.cancel()
        await _wait_for_end(workers, grace)

    async def _work(self, partition: TopicPartition, worker: _Worker) -> None:
        try:
            with worker.scope:
                while not worker.is_closing:
                    record = await worker.records.get()
                    worker.is_busy = True
                    await self._handle(record)
                    worker.is_busy = False
                    self._advance(partition, record.offset + 1)
                    if worker.is_paused and worker.records.qsize() <= _RESUME_AT:
                        worker.is_paused = False
                        self._consumer.resume(partition)
                    await checkpoint()
        finally:
            worker.ended.set()


async def _wait_for_end(workers: Sequence[_Worker], timeout: float) -> None:
    with move_on_after(timeout):
        for worker in workers:
            await worker.ended.wait()

"""What a member of a group has handled, and what of it the group knows."""

import structlog
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import IllegalGenerationError, KafkaError, RebalanceInProgressError, UnknownMemberIdError
from anyio import Event, move_on_after, sleep

log = structlog.get_logger(__name__)

# Seconds: a process that is killed repeats what it handled since.
_BETWEEN_COMMITS = 0.05
_AFTER_FAILURE = 0.5


class Offsets:
    """Commits `positions`, the offsets after the last messages handled, in the background."""

    def __init__(self, consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._positions = positions
        self._committed: dict[TopicPartition, int] = {}
        self._moved = Event()

    def move(self, partition: TopicPartition, offset: int) -> None:
        """Note that everything before `offset` was handled."""
        self._positions[partition] = offset
        self._moved.set()

    async def keep_committing(self) -> None:
        """Commit what moves until cancelled. Raises KafkaError where the brokers refuse it for good."""
        while True:
            await self._moved.wait()
            self._moved = Event()
            try:
                await self._commit()
            except KafkaError as error:
                if not error.retriable:
                    raise
                self._moved.set()
                await sleep(_AFTER_FAILURE)
            await sleep(_BETWEEN_COMMITS)

    async def commit_last(self, seconds: float) -> None:
        """Commit what moved if it takes no longer than this, and forget all of it: others go on from here."""
        with move_on_after(seconds):
            try:
                await self._commit()
            except KafkaError as error:
                log.info("offsets not committed", error=str(error))
        self._positions.clear()
        self._committed.clear()

    async def _commit(self) -> None:
        mine = self._consumer.assignment()
        offsets = {
            partition: offset
            for partition, offset in self._positions.items()
            if partition in mine and self._committed.get(partition) != offset
        }
        if offsets:
            request = {partition: OffsetAndMetadata(offset, "") for partition, offset in offsets.items()}
            try:
                # Not `commit`: it repeats without end, in a task that outlives cancellation and fails unseen.
                await self._consumer._coordinator._do_commit_offsets(None, request)  # noqa: SLF001
            except (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError):
                # Other members have these partitions by now, and handle again what was not committed.
                log.info("offsets not committed: the group has moved on")
            else:
                self._committed.update(offsets)

"""Offsets of a group member: which messages it has handled, and which of them are committed."""

import structlog
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.errors import IllegalGenerationError, KafkaError, RebalanceInProgressError, UnknownMemberIdError
from anyio import Event, move_on_after, sleep

log = structlog.get_logger(__name__)

# Seconds. After a kill, the messages handled since the last commit are handled again.
_COMMIT_INTERVAL = 0.05
_RETRY = 0.5


class Offsets:
    """Commits `positions` in the background: the offset after the last message handled, by partition."""

    def __init__(self, consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int]) -> None:
        self._consumer = consumer
        self._positions = positions
        self._committed: dict[TopicPartition, int] = {}
        self._advanced = Event()

    def advance(self, partition: TopicPartition, offset: int) -> None:
        """Record that every message before `offset` was handled."""
        self._positions[partition] = offset
        self._advanced.set()

    async def run(self) -> None:
        """Commit new positions until cancelled.

        Raises:
            KafkaError: the brokers refuse a commit, and repeating it would not help.
        """
        while True:
            await self._advanced.wait()
            self._advanced = Event()
            try:
                await self._commit()
            except KafkaError as error:
                if not error.retriable:
                    raise
                self._advanced.set()
                await sleep(_RETRY)
            await sleep(_COMMIT_INTERVAL)

    async def commit_last(self, timeout: float) -> None:
        """Commit within `timeout` seconds, then forget all positions: other members continue from here."""
        with move_on_after(timeout):
            try:
                await self._commit()
            except KafkaError as error:
                log.info("offsets not committed", error=str(error))
        self._positions.clear()
        self._committed.clear()

    async def _commit(self) -> None:
        assigned = self._consumer.assignment()
        offsets = {
            partition: offset
            for partition, offset in self._positions.items()
            if partition in assigned and self._committed.get(partition) != offset
        }
        if offsets:
            request = {partition: OffsetAndMetadata(offset, "") for partition, offset in offsets.items()}
            try:
                # Not `consumer.commit`: it retries without limit, in a task that outlives cancellation.
                await self._consumer._coordinator._do_commit_offsets(None, request)  # noqa: SLF001
            except (IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError):
                # Other members have these partitions now, and handle again what was not committed.
                log.info("offsets not committed: the group was rebalanced")
            else:
                self._committed.update(offsets)

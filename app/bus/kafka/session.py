"""Run one aiokafka consumer: fetch, commit, release partitions, and detect that it has stalled."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition, errors
from anyio import CancelScope, create_task_group, sleep
from msgspec import Struct

from .closing import close_consumer
from .offsets import Offsets
from .partition_workers import PartitionWorkers

log = structlog.get_logger(__name__)

_CHECKS_UNTIL_STALLED = 3


class ConsumerTimeouts(Struct, frozen=True, kw_only=True):
    """How soon a consumer and its group notice a change, in seconds.

    - `heartbeat`: interval of the heartbeats to the group. With one, a member learns of a rebalance.
    - `session`: without a heartbeat for this long, a member counts as dead. Brokers refuse less than 6 s by
      default.
    - `rebalance`: how long a group waits for its members to release their partitions. A member that takes
      longer must join again.
    - `grace`: how long a handler may continue with its message after its partition was revoked.
    - `check`: interval between the checks whether a consumer still fetches. After the third check without
      progress it is replaced; also if it waits for partitions twice as long as dead members can delay it.
    """

    heartbeat: float = 0.5
    session: float = 6.0
    rebalance: float = 3.0
    grace: float = 0.5
    check: float = 4.0


class StalledError(Exception):
    """The consumer must be replaced: brokers answer, but it does not fetch, or not every partition."""


class ConsumerSession:
    """Reads the topic `name` as a member of `group_id`, or all its partitions if that is None.

    `positions` are the offsets after the last handled messages. A consumer without a group continues there.
    """

    def __init__(
        self,
        name: str,
        group_id: str | None,
        *,
        options: dict[str, Any],
        timeouts: ConsumerTimeouts,
        handle: Callable[[ConsumerRecord], Awaitable[None]],
        count_partitions: Callable[[], Awaitable[int]],
        positions: dict[TopicPartition, int],
    ) -> None:
        self._name = name
        self._group_id = group_id
        self._timeouts = timeouts
        self._handle = handle
        self._count_partitions = count_partitions
        self._positions = positions
        self._rebalancing_since: float | None = None
        self._workers: PartitionWorkers | None = None
        self._consumer = AIOKafkaConsumer(
            group_id=group_id,
            enable_auto_commit=False,
            # If no offset is committed, or the committed one was deleted by retention, no message is skipped.
            auto_offset_reset="earliest",
            heartbeat_interval_ms=int(timeouts.heartbeat * 1000),
            session_timeout_ms=int(timeouts.session * 1000),
            rebalance_timeout_ms=int(timeouts.rebalance * 1000),
            **options,
        )
        self._offsets = Offsets(self._consumer, positions)

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Read until cancelled. `on_ready` is called when the position is fixed.

        Raises:
            KafkaError: whatever aiokafka raises.
            StalledError: the consumer has stopped fetching, or partitions were added.
        """
        try:
            await self._consumer.start()
            if self._group_id is None:
                await self._assign_all()
            async with create_task_group() as tasks:
                self._workers = PartitionWorkers(self._consumer, tasks, self._handle, self._offsets.advance)
                if self._group_id is not None:
                    self._consumer.subscribe([self._name], listener=_RebalanceListener(self))
                    tasks.start_soon(self._offsets.run)
                tasks.start_soon(self._watch)
                on_ready()
                while True:
                    # Never delayed by handlers: without this call, the group takes the member for stuck.
                    for partition, records in (await self._consumer.getmany(timeout_ms=1000)).items():
                        self._workers.put(partition, records)
        finally:
            await self._close()

    async def begin_rebalance(self) -> None:
        """Release all partitions: the group is assigning them anew."""
        self._rebalancing_since = time.monotonic()
        if self._workers is not None:
            await self._workers.close(self._timeouts.grace)
        await self._offsets.commit_last(self._timeouts.grace)

    def end_rebalance(self) -> None:
        """Note that the group has assigned its partitions. Their workers start with their first records."""
        self._rebalancing_since = None

    async def _assign_all(self) -> None:
        """Read every partition, from its end or from where the previous session stopped."""
        partitions = [TopicPartition(self._name, number) for number in range(await self._count_partitions())]
        self._consumer.assign(partitions)
        if not self._positions:
            self._positions.update(await self._consumer.end_offsets(partitions))
        for partition in partitions:
            # A partition that was added in between is read from its beginning.
            self._consumer.seek(partition, self._positions.setdefault(partition, 0))

    async def _watch(self) -> None:
        """Raise StalledError when brokers answer but nothing is fetched, or when partitions were added.

        A working fetcher polls every partition twice a second, even if there are no messages.
        """
        before: dict[TopicPartition, int | None] = {}
        checks = 0
        is_away = False
        while True:
            await sleep(self._timeouts.check)
            try:
                count = await self._count_partitions()
            except (errors.KafkaError, OSError) as error:
                if not is_away:
                    log.warning("Kafka does not answer", topic=self._name, error=str(error))
                before, checks, is_away = {}, 0, True
                continue
            if is_away:
                log.info("Kafka answers again", topic=self._name)
                is_away = False
            if self._group_id is None and count > len(self._consumer.assignment()):
                raise StalledError("partitions were added to the topic")
            if self._waits_too_long():
                raise StalledError("its group assigns no partitions to it")
            now = self._last_polls()
            is_stuck = any(partition in before and now[partition] == before[partition] for partition in now)
            checks = checks + 1 if is_stuck else 0
            if checks == _CHECKS_UNTIL_STALLED:
                raise StalledError("it has stopped fetching")
            before = now

    def _waits_too_long(self) -> bool:
        longest = 2 * (self._timeouts.session + self._timeouts.rebalance)
        return self._rebalancing_since is not None and time.monotonic() - self._rebalancing_since > longest

    def _last_polls(self) -> dict[TopicPartition, int | None]:
        """Return when each partition was last polled, without those from which nothing should be fetched."""
        if self._rebalancing_since is not None:
            return {}
        paused = self._consumer.paused()
        return {
            partition: self._consumer.last_poll_timestamp(partition)
            for partition in self._consumer.assignment()
            if partition not in paused
        }

    async def _close(self) -> None:
        with CancelScope(shield=True):
            if self._group_id is not None:
                await self._offsets.commit_last(self._timeouts.grace)
            await close_consumer(self._consumer)


class _RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, session: ConsumerSession) -> None:
        self._session = session

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002  always all of them
        await self._session.begin_rebalance()

    async def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002  read with their records
        self._session.end_rebalance()

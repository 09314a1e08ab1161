"""The life of one aiokafka consumer: fetching, committing, giving partitions up, and noticing its silence."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition, errors
from anyio import CancelScope, create_task_group, sleep
from msgspec import Struct

from .closing import close_consumer
from .offsets import Offsets
from .partitions import Lanes

log = structlog.get_logger(__name__)

_STRIKES = 3


class Timing(Struct, frozen=True, kw_only=True):
    """How soon things are noticed, in seconds.

    A consumer sends its group a sign of life every `heartbeat`, and learns then that a member came or left.
    Without any for `session` it is taken for dead; brokers refuse less than 6 unless told otherwise. A group
    waits `rebalance` for its members to give their partitions up; whoever is late must join anew. A message
    in hand has `grace` to be finished when its partition goes. Between two looks at whether a consumer still
    fetches there are `look`; the third in vain replaces it. So does waiting for partitions for twice as long
    as dead members can make it wait.
    """

    heartbeat: float = 0.5
    session: float = 6.0
    rebalance: float = 3.0
    grace: float = 0.5
    look: float = 4.0


class StalledError(Exception):
    """The consumer must be replaced: it does not fetch, or not everything, though brokers answer."""


class Session:
    """Reads the topic `name` as a member of `group_id`, or all of it where that is None.

    `positions` are the offsets after the last messages handled; without a group they tell where to go on.
    """

    def __init__(
        self,
        name: str,
        group_id: str | None,
        *,
        options: dict[str, Any],
        timing: Timing,
        handle: Callable[[ConsumerRecord], Awaitable[None]],
        count_partitions: Callable[[], Awaitable[int]],
        positions: dict[TopicPartition, int],
    ) -> None:
        self._name = name
        self._group_id = group_id
        self._timing = timing
        self._handle = handle
        self._count_partitions = count_partitions
        self._positions = positions
        self._rebalancing_since: float | None = None
        self._lanes: Lanes | None = None
        self._consumer = AIOKafkaConsumer(
            group_id=group_id,
            enable_auto_commit=False,
            # Where no offset is known, or it names what was deleted already, nothing is skipped.
            auto_offset_reset="earliest",
            heartbeat_interval_ms=int(timing.heartbeat * 1000),
            session_timeout_ms=int(timing.session * 1000),
            rebalance_timeout_ms=int(timing.rebalance * 1000),
            **options,
        )
        self._offsets = Offsets(self._consumer, positions)

    async def run(self, ready: Callable[[], None]) -> None:
        """Read until cancelled; `ready` is called once the position is fixed.

        Raises what aiokafka raises, and StalledError.
        """
        try:
            await self._consumer.start()
            if self._group_id is None:
                await self._take_all()
            async with create_task_group() as tasks:
                self._lanes = Lanes(self._consumer, tasks, self._handle, self._offsets.move)
                if self._group_id is not None:
                    self._consumer.subscribe([self._name], listener=_Listener(self))
                    tasks.start_soon(self._offsets.keep_committing)
                tasks.start_soon(self._watch)
                ready()
                while True:
                    # Never held up by handlers: to the group this is the sign that the member is at work.
                    for partition, records in (await self._consumer.getmany(timeout_ms=1000)).items():
                        self._lanes.put(partition, records)
        finally:
            await self._close()

    async def rebalance(self, *, done: bool) -> None:
        """The group takes every partition, or has given out those of its next round."""
        self._rebalancing_since = None if done else time.monotonic()
        if not done:
            if self._lanes is not None:
                await self._lanes.close(self._timing.grace)
            await self._offsets.commit_last(self._timing.grace)

    async def _take_all(self) -> None:
        """Read every partition, from its end or from where an earlier session had come to."""
        partitions = [TopicPartition(self._name, number) for number in range(await self._count_partitions())]
        self._consumer.assign(partitions)
        if not self._positions:
            self._positions.update(await self._consumer.end_offsets(partitions))
        for partition in partitions:
            # One that was added since is read from its beginning.
            self._consumer.seek(partition, self._positions.setdefault(partition, 0))

    async def _watch(self) -> None:
        """Raise StalledError once nothing moves any more, though a broker answers, or partitions were added.

        A fetcher at work asks for every partition twice a second, whether there are messages or not.
        """
        before: dict[object, object] = {}
        strikes = 0
        away = False
        while True:
            await sleep(self._timing.look)
            try:
                count = await self._count_partitions()
            except (errors.KafkaError, OSError) as error:
                if not away:
                    log.warning("Kafka does not answer", topic=self._name, error=str(error))
                before, strikes, away = {}, 0, True
                continue
            if away:
                log.info("Kafka answers again", topic=self._name)
                away = False
            if self._group_id is None and count > len(self._consumer.assignment()):
                raise StalledError("partitions were added")
            if self._waits_too_long():
                raise StalledError("its group gives it no partitions")
            now = self._signs()
            strikes = strikes + 1 if any(sign in before and now[sign] == before[sign] for sign in now) else 0
            if strikes == _STRIKES:
                raise StalledError("it does not fetch any more")
            before = now

    def _waits_too_long(self) -> bool:
        longest = 2 * (self._timing.session + self._timing.rebalance)
        return self._rebalancing_since is not None and time.monotonic() - self._rebalancing_since > longest

    def _signs(self) -> dict[object, object]:
        """What differs between two looks where all is well."""
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
                await self._offsets.commit_last(self._timing.grace)
            await close_consumer(self._consumer)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, session: Session) -> None:
        self._session = session

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 - it is always all
        await self._session.rebalance(done=False)

    async def on_partitions_assigned(self, assigned: object) -> None:  # noqa: ARG002 - lanes open by themselves
        await self._session.rebalance(done=True)

"""The bus between processes: Apache Kafka, or what speaks its protocol.

Groups are Kafka's consumer groups. A key's messages are in one partition, and a partition's messages are
handled one by one, by one member of the group.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import structlog
from aiokafka import ConsumerRecord
from aiokafka.partitioner import murmur2
from anyio import TASK_STATUS_IGNORED, sleep
from anyio.abc import TaskStatus

from ...messages import TOPICS, Message, Topic
from .. import BusUnavailableError, Handler
from ..delivery import Courier, DeadLetter
from .connection import KafkaSecurity, client_options, reach
from .consumer import Consumer
from .publisher import Publisher, open_publisher
from .session import Session, Timing
from .topics import DEAD, Topics

__all__ = ["KafkaBus", "KafkaSecurity", "Timing", "open_kafka_bus"]

log = structlog.get_logger(__name__)


class KafkaBus:
    """A `Bus` on Kafka; see `open_kafka_bus`."""

    def __init__(
        self,
        courier: Courier,
        publisher: Publisher,
        topics: Topics,
        partitions: dict[str, int],
        *,
        options: dict[str, Any],
        timing: Timing,
    ) -> None:
        self._courier = courier
        self._publisher = publisher
        self._topics = topics
        self._partitions = partitions
        self._options = options
        self._timing = timing
        self._closed = False

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        """See `Bus`. Raises BusUnavailableError where the brokers do not acknowledge it in time.

        Then it may have been lost, or come yet. Cancelled, likewise.
        """
        self._courier.refuse_handlers()
        await self._publisher.publish(self._topics.name(topic), topic.encode(message), key)

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """See `Bus`. Partitions are handled side by side.

        Raises BusUnavailableError where the bus is closed, BusError where the brokers refuse this reader.
        """
        if self._closed:
            raise BusUnavailableError("the bus is closed")
        if group is not None and group not in topic.groups:
            raise ValueError(f"{topic.name} declares no group {group!r}")
        name = self._topics.name(topic)
        open_session = partial(
            Session,
            name,
            self._topics.group_id(topic, group) if group else None,
            options=self._options,
            timing=self._timing,
            count_partitions=partial(self._topics.count_partitions, name),
        )
        await Consumer(topic, group, handler, self._courier, self._bury).run(open_session, task_status)

    def partition_keys(self, topic: Topic) -> Sequence[str]:
        """See `Bus`. Partitions that were added since the bus was opened have none."""
        return _key_of_each(self._partitions[self._topics.name(topic)])

    def close(self) -> None:
        """Let every waiting publisher go with BusUnavailableError, and refuse new ones."""
        self._closed = True
        self._publisher.close()

    async def _bury(self, letter: DeadLetter, record: ConsumerRecord) -> None:
        headers = {
            "error": letter.error,
            "group": letter.group or "",
            "deliveries": str(letter.deliveries),
            "topic": letter.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
        }
        raw = [(name, value.encode(errors="replace")) for name, value in headers.items()]
        while True:
            try:
                return await self._publisher.publish(f"{record.topic}{DEAD}", letter.data, letter.key, raw)
            except BusUnavailableError as error:
                log.warning("a dead letter waits", topic=letter.topic, error=str(error))
                await sleep(1)


@asynccontextmanager
async def open_kafka_bus(
    servers: Sequence[str],
    *,
    client_id: str = "videoanalysis",
    security: KafkaSecurity | None = None,
    topics: Sequence[Topic] = TOPICS,
    prefix: str = "",
    partitions: int = 12,
    replication: int = 1,
    max_deliveries: int = 5,
    transient: tuple[type[Exception], ...] = (OSError, TimeoutError),
    first_retry: float = 0.1,
    longest_retry: float = 5.0,
    publish_timeout: float = 5.0,
    patience: float = 60.0,
    timing: Timing | None = None,
) -> AsyncGenerator[KafkaBus, None]:
    """A bus on the brokers at `servers` (host:port); leaving the block closes it.

    Topics that are missing are made, with `partitions` and `replication` copies, and beside each one its
    dead letters; the names of all, and of groups, begin with `prefix`. For `max_deliveries`, `transient`
    and the retry times (seconds) see `Courier`. A publisher waits `publish_timeout` seconds at most, and
    the start `patience` seconds for a broker that answers.

    Raises BusError where none does, or where this process is not let in or may not make a topic.
    """
    options = client_options(servers, client_id, security or KafkaSecurity())
    async with AsyncExitStack() as stack:
        admin = await reach(options, patience)
        stack.push_async_callback(admin.close)
        names = Topics(admin, prefix)
        counts = await names.ensure(topics, partitions, replication)
        publisher = await stack.enter_async_context(open_publisher(options, publish_timeout))
        courier = Courier(
            max_deliveries=max_deliveries,
            transient=transient,
            first_retry=first_retry,
            longest_retry=longest_retry,
        )
        bus = KafkaBus(courier, publisher, names, counts, options=options, timing=timing or Timing())
        stack.callback(bus.close)
        yield bus


def _key_of_each(partitions: int) -> tuple[str, ...]:
    keys: dict[int, str] = {}
    for number in count():
        key = f"partition-{number}"
        # How every Kafka client spreads keys.
        keys.setdefault((murmur2(key.encode()) & 0x7FFFFFFF) % partitions, key)
        if len(keys) == partitions:
            break
    return tuple(keys[partition] for partition in range(partitions))

"""The bus on Apache Kafka, or a broker that speaks its protocol.

Groups are Kafka consumer groups. All messages with one key are in one partition; one member of a group
handles the messages of a partition, one by one.
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
from ..delivery import DeadLetter, Deliverer, RetryPolicy
from .connection import KafkaSecurity, client_options, connect_admin
from .consumer import Consumer
from .publisher import Publisher, open_publisher
from .session import ConsumerSession, ConsumerTimeouts
from .topics import DEAD_LETTER_SUFFIX, ClusterTopics

log = structlog.get_logger(__name__)

_DEAD_LETTER_RETRY = 1.0  # seconds


class KafkaBus:
    """A `Bus` on Kafka; see `open_kafka_bus`."""

    def __init__(
        self,
        deliverer: Deliverer,
        publisher: Publisher,
        topics: ClusterTopics,
        partitions: dict[str, int],
        *,
        options: dict[str, Any],
        timeouts: ConsumerTimeouts,
    ) -> None:
        self._deliverer = deliverer
        self._publisher = publisher
        self._topics = topics
        self._partitions = partitions
        self._options = options
        self._timeouts = timeouts
        self._closed = False

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        """See `Bus`. If the brokers do not acknowledge the message in time, it may still be delivered."""
        self._deliverer.forbid_in_handler()
        await self._publisher.publish(self._topics.name(topic), topic.encode(message), key)

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """See `Bus`. Several partitions are handled at the same time.

        Raises:
            BusError: the brokers refuse the consumer.
        """
        if self._closed:
            raise BusUnavailableError("the bus is closed")
        if group is not None and group not in topic.groups:
            raise ValueError(f"{topic.name} declares no group {group!r}")
        name = self._topics.name(topic)
        open_session = partial(
            ConsumerSession,
            name,
            self._topics.group_id(topic, group) if group else None,
            options=self._options,
            timeouts=self._timeouts,
            count_partitions=partial(self._topics.count_partitions, name),
        )
        consumer = Consumer(topic, group, handler, self._deliverer, self._send_to_dead_letter)
        await consumer.run(open_session, task_status)

    def partition_keys(self, topic: Topic) -> Sequence[str]:
        """See `Bus`. Partitions that were added after the bus was opened are not included."""
        return _key_of_each(self._partitions[self._topics.name(topic)])

    def close(self) -> None:
        """Make waiting publishers raise BusUnavailableError, and refuse new ones."""
        self._closed = True
        self._publisher.close()

    async def _send_to_dead_letter(self, letter: DeadLetter, record: ConsumerRecord) -> None:
        headers = {
            "error": letter.error,
            "group": letter.group or "",
            "deliveries": str(letter.deliveries),
            "topic": letter.topic,
            "partition": str(record.partition),
            "offset": str(record.offset),
        }
        raw = [(name, value.encode(errors="replace")) for name, value in headers.items()]
        topic = f"{record.topic}{DEAD_LETTER_SUFFIX}"
        while True:
            try:
                return await self._publisher.publish(topic, letter.data, letter.key, raw)
            except BusUnavailableError as error:
                log.warning(
                    "dead letter not published, will be retried", topic=letter.topic, error=str(error)
                )
                await sleep(_DEAD_LETTER_RETRY)


@asynccontextmanager
async def open_kafka_bus(
    servers: Sequence[str],
    retry: RetryPolicy | None = None,
    *,
    client_id: str = "videoanalysis",
    security: KafkaSecurity | None = None,
    topics: Sequence[Topic] = TOPICS,
    prefix: str = "",
    partitions: int = 12,
    replication: int = 1,
    publish_timeout: float = 5.0,
    start_timeout: float = 60.0,
    timeouts: ConsumerTimeouts | None = None,
) -> AsyncGenerator[KafkaBus, None]:
    """Open a bus on the brokers at `servers` (host:port). It is closed when the block ends.

    Missing topics and their dead letter topics are created with `partitions` partitions and `replication`
    copies. The names of all topics and groups begin with `prefix`. `publish` waits at most `publish_timeout`
    seconds for the acknowledgement. This function waits up to `start_timeout` seconds for a broker.

    Raises:
        BusError: no broker answers in time, the brokers reject this client, or a topic cannot be created.
    """
    options = client_options(servers, client_id, security or KafkaSecurity())
    async with AsyncExitStack() as stack:
        admin = await connect_admin(options, start_timeout)
        stack.push_async_callback(admin.close)
        names = ClusterTopics(admin, prefix)
        counts = await names.create_missing(topics, partitions, replication)
        publisher = await stack.enter_async_context(open_publisher(options, publish_timeout))
        bus = KafkaBus(
            Deliverer(retry),
            publisher,
            names,
            counts,
            options=options,
            timeouts=timeouts or ConsumerTimeouts(),
        )
        stack.callback(bus.close)
        yield bus


def _key_of_each(partitions: int) -> tuple[str, ...]:
    """Return one key for each partition, in the order of the partitions."""
    keys: dict[int, str] = {}
    for number in count():
        key = f"partition-{number}"
        # The default partitioner of every Kafka client.
        keys.setdefault((murmur2(key.encode()) & 0x7FFFFFFF) % partitions, key)
        if len(keys) == partitions:
            break
    return tuple(keys[partition] for partition in range(partitions))

"""The bus on a real Kafka broker, for tests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from app.bus import Bus
from app.bus.delivery import DeadLetter
from app.bus.kafka.bus import KafkaBus, open_kafka_bus
from app.bus.kafka.session import ConsumerTimeouts
from app.messages import TOPICS, Topic
from tests.bus.harness import RETRY, TEST_TOPICS, Note

QUICK = ConsumerTimeouts(heartbeat=0.1, session=2.0, rebalance=5.0, grace=1.0, check=0.3)
PARTITIONS = 4


class KafkaHarness:
    """The bus on a broker. Each harness has its own topics there."""

    def __init__(self, address: str, **options: Any) -> None:
        self.address = address
        self._options = options
        self.prefix = f"{uuid4().hex[:8]}."
        self.bus: KafkaBus

    async def open(self) -> None:
        opened: asyncio.Future[KafkaBus] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        # In its own task, because pytest sets up and tears down a fixture in different tasks.
        self._task = asyncio.create_task(self._hold(opened))
        self.bus = await opened

    async def _hold(self, opened: "asyncio.Future[KafkaBus]") -> None:
        try:
            async with self.another() as bus:
                opened.set_result(bus)
                await self._closing.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    def another(self, **options: Any) -> Any:
        """Open another bus on the same topics, like another process."""
        defaults = {
            "topics": (*TEST_TOPICS, *TOPICS),
            "prefix": self.prefix,
            "partitions": PARTITIONS,
            "retry": RETRY,
            "timeouts": QUICK,
        }
        return open_kafka_bus([self.address], **{**defaults, **self._options, **options})

    async def reopen(self) -> None:
        await self.close()
        await self.open()

    async def publish_raw(self, topic: Topic, data: bytes, key: str) -> None:
        await self.bus._publisher.publish(self.prefix + topic.name, data, key)

    async def dead_letters(self, topic: Topic) -> Sequence[DeadLetter]:
        return tuple(map(_letter, await self.read(f"{topic.name}.dead", partition=0)))

    async def read(self, name: str, partition: int) -> list[ConsumerRecord]:
        """Return all records of one partition of a topic."""
        place = TopicPartition(self.prefix + name, partition)
        async with _reader(self.address, place) as reader:
            end = (await reader.end_offsets([place]))[place]
            records: list[ConsumerRecord] = []
            while len(records) < end:
                records += (await reader.getmany(place, timeout_ms=1000)).get(place, [])
            return records

    async def close(self) -> None:
        self._closing.set()
        await self._task


async def publish_numbers(bus: Bus, topic: Topic, key: str, numbers: Sequence[int]) -> None:
    """Publish one note per number, in order, with the same key."""
    for number in numbers:
        await bus.publish(topic, Note(key, number), key)


@asynccontextmanager
async def _reader(address: str, place: TopicPartition) -> AsyncGenerator[AIOKafkaConsumer, None]:
    reader = AIOKafkaConsumer(bootstrap_servers=address)
    await reader.start()
    try:
        reader.assign([place])
        reader.seek(place, 0)
        yield reader
    finally:
        await reader.stop()


def _letter(record: ConsumerRecord) -> DeadLetter:
    headers = {name: value.decode() for name, value in record.headers}
    return DeadLetter(
        topic=headers["topic"],
        group=headers["group"] or None,
        key=record.key.decode(),
        data=record.value,
        deliveries=int(headers["deliveries"]),
        error=headers["error"],
    )

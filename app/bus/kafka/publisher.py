"""Publishing to Kafka: acknowledged by all in-sync replicas, in order, within a bounded time."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from anyio import CancelScope, Event, create_task_group, current_time, sleep

from .. import BusError, BusUnavailableError
from .closing import close_producer

log = structlog.get_logger(__name__)


class Publisher:
    """An idempotent producer, which numbers what it sends: brokers drop repetitions and keep the order.

    A batch that fails leaves a gap in those numbers, and brokers refuse whatever comes after it. So a
    producer with any failure is replaced.
    """

    def __init__(self, options: dict[str, Any], timeout: float) -> None:
        self._options = options
        self._timeout = timeout
        self._producer: AIOKafkaProducer | None = None
        self._broken: AIOKafkaProducer | None = None
        self._ready = Event()
        self._failed = Event()
        self._waiting: set[CancelScope] = set()
        self._closed = False

    async def start(self) -> None:
        """Begin to take messages. Raises KafkaError."""
        producer = AIOKafkaProducer(
            enable_idempotence=True,
            acks="all",
            # Publishers whose message finds a full batch might overtake each other.
            max_batch_size=256 * 1024,
            **self._options,
        )
        try:
            await producer.start()
        except BaseException:
            await close_producer(producer)
            raise
        self._producer = producer
        self._ready.set()

    async def run(self) -> None:
        """Replace a producer that fails, until cancelled."""
        while True:
            await self._failed.wait()
            log.warning("the Kafka producer failed and is replaced")
            await self.stop()
            while self._producer is None:
                try:
                    await self.start()
                except KafkaError as error:
                    log.warning("no Kafka producer yet", error=str(error))
                    await sleep(1)

    async def stop(self) -> None:
        """Send what waits, then take no more."""
        self._retire()
        if self._broken is not None:
            await close_producer(self._broken)
        self._broken, self._failed = None, Event()

    def close(self) -> None:
        """Let whoever waits go with BusUnavailableError, and refuse new messages."""
        self._closed = True
        for patience in self._waiting:
            patience.cancel()

    async def publish(
        self, topic: str, data: bytes, key: str, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Return once all in-sync replicas have the message.

        Raises BusUnavailableError where they do not within the time-out: then it may come yet, or never.
        """
        self._require_open()
        with CancelScope(deadline=current_time() + self._timeout) as patience:
            self._waiting.add(patience)
            try:
                while self._producer is None:
                    await self._ready.wait()
                return await self._send(self._producer, topic, data, key, list(headers))
            finally:
                self._waiting.discard(patience)
        self._require_open()
        raise BusUnavailableError(f"Kafka has not acknowledged the message within {self._timeout:g} s")

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, data: bytes, key: str, headers: list[tuple[str, bytes]]
    ) -> None:
        try:
            await (await producer.send(topic, data, key=key.encode(), headers=headers))
        except KafkaTimeoutError as error:  # it was not even taken
            raise BusUnavailableError("too many messages wait for Kafka") from error
        except KafkaError as error:
            if producer is self._producer:
                self._retire()
            raise BusUnavailableError(f"Kafka refused the message: {error}") from error

    def _retire(self) -> None:
        """Give nothing more to the present producer."""
        if self._producer is not None:
            self._broken, self._producer, self._ready = self._producer, None, Event()
        self._failed.set()

    def _require_open(self) -> None:
        if self._closed:
            raise BusUnavailableError("the bus is closed")


@asynccontextmanager
async def open_publisher(options: dict[str, Any], timeout: float) -> AsyncGenerator[Publisher, None]:
    """A publisher that waits `timeout` seconds at most for each message.

    Raises BusError where the brokers refuse it.
    """
    publisher = Publisher(options, timeout)
    try:
        await publisher.start()
    except KafkaError as error:
        raise BusError(f"Kafka does not let this user publish: {error}") from error
    try:
        async with create_task_group() as tasks:
            tasks.start_soon(publisher.run)
            yield publisher
            tasks.cancel_scope.cancel()
    finally:
        await publisher.stop()
        publisher.close()

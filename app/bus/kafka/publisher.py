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

_RETRY = 1.0  # seconds


class Publisher:
    """Publishes with an idempotent producer, and replaces the producer after any failure.

    An idempotent producer numbers its messages, so that brokers drop repetitions and keep the order. A batch
    that fails leaves a gap in the numbers, and brokers refuse every message after a gap.
    """

    def __init__(self, options: dict[str, Any], timeout: float) -> None:
        self._options = options
        self._timeout = timeout
        self._producer: AIOKafkaProducer | None = None
        self._failed_producer: AIOKafkaProducer | None = None
        self._ready = Event()
        self._failed = Event()
        self._waits: set[CancelScope] = set()
        self._closed = False

    async def start(self) -> None:
        """Start a producer. Raises aiokafka's KafkaError."""
        producer = AIOKafkaProducer(
            enable_idempotence=True,
            acks="all",
            # If a batch is full, publishers that wait for the next one may overtake each other.
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
        """Replace a producer that failed, until cancelled."""
        while True:
            await self._failed.wait()
            log.warning("the Kafka producer failed and is replaced")
            await self.stop()
            while self._producer is None:
                try:
                    await self.start()
                except KafkaError as error:
                    log.warning("the Kafka producer cannot start, will be retried", error=str(error))
                    await sleep(_RETRY)

    async def stop(self) -> None:
        """Send the waiting messages, then close the producer."""
        self._retire_producer()
        if self._failed_producer is not None:
            await close_producer(self._failed_producer)
        self._failed_producer, self._failed = None, Event()

    def close(self) -> None:
        """Make waiting publishers raise BusUnavailableError, and refuse new messages."""
        self._closed = True
        for wait in self._waits:
            wait.cancel()

    async def publish(
        self, topic: str, data: bytes, key: str, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Return when all in-sync replicas have the message.

        Raises:
            BusUnavailableError: they did not acknowledge it within the time-out. It may still be delivered.
        """
        self._require_open()
        # Not `move_on_after`: `close` must be able to cancel the wait.
        with CancelScope(deadline=current_time() + self._timeout) as wait:
            self._waits.add(wait)
            try:
                while self._producer is None:
                    await self._ready.wait()
                return await self._send(self._producer, topic, data, key, list(headers))
            finally:
                self._waits.discard(wait)
        self._require_open()
        raise BusUnavailableError(f"Kafka has not acknowledged the message within {self._timeout:g} s")

    async def _send(
        self, producer: AIOKafkaProducer, topic: str, data: bytes, key: str, headers: list[tuple[str, bytes]]
    ) -> None:
        try:
            await (await producer.send(topic, data, key=key.encode(), headers=headers))
        except KafkaTimeoutError as error:  # the producer's buffer is full: the message was not accepted
            raise BusUnavailableError("too many messages wait for Kafka") from error
        except KafkaError as error:
            if producer is self._producer:
                self._retire_producer()
            raise BusUnavailableError(f"Kafka refused the message: {error}") from error

    def _retire_producer(self) -> None:
        """Send no more messages through the current producer."""
        if self._producer is not None:
            self._failed_producer, self._producer, self._ready = self._producer, None, Event()
        self._failed.set()

    def _require_open(self) -> None:
        if self._closed:
            raise BusUnavailableError("the bus is closed")


@asynccontextmanager
async def open_publisher(options: dict[str, Any], timeout: float) -> AsyncGenerator[Publisher, None]:
    """Open a publisher that waits at most `timeout` seconds for the acknowledgement of each message.

    Raises:
        BusError: the brokers refuse to let this client publish.
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

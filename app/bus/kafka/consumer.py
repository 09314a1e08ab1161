"""Consuming one topic from Kafka for as long as it takes, whatever becomes of aiokafka's consumers."""

from collections.abc import Awaitable, Callable

import structlog
from aiokafka import ConsumerRecord, TopicPartition, errors
from anyio import sleep
from anyio.abc import TaskStatus

from ...messages import Topic
from .. import BusError, Handler
from ..delivery import Courier, DeadLetter, Delivery
from .session import Session, StalledError

log = structlog.get_logger(__name__)

_PAUSE = 0.5
_REFUSED = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidGroupIdError,
    errors.InconsistentGroupProtocolError,
)


class Consumer:
    """One call of `consume`: sessions, one after the other, that lose nothing between them."""

    def __init__(
        self,
        topic: Topic,
        group: str | None,
        handler: Handler,
        courier: Courier,
        bury: Callable[[DeadLetter, ConsumerRecord], Awaitable[None]],
    ) -> None:
        self._topic = topic
        self._group = group
        self._handler = handler
        self._courier = courier
        self._bury = bury

    async def run(self, open_session: Callable[..., Session], task_status: TaskStatus[None]) -> None:
        """Consume until cancelled. Raises BusError where the brokers refuse it."""
        positions: dict[TopicPartition, int] = {}
        ready = False
        told = ""

        def tell() -> None:
            nonlocal ready, told
            if not ready:
                ready = True
                task_status.started()
            told = ""

        while True:
            fault: BaseException | None = None
            try:
                await open_session(handle=self._deliver, positions=positions).run(tell)
            except* (errors.KafkaError, StalledError, OSError) as group:
                fault = _first(group)
            if isinstance(fault, _REFUSED):
                raise BusError(f"Kafka refuses the consumer of {self._topic.name}: {fault}") from fault
            if str(fault) != told:  # once, however long an outage lasts
                told = str(fault)
                log.warning("consumer starts anew", topic=self._topic.name, group=self._group, error=told)
            await sleep(_PAUSE)

    async def _deliver(self, record: ConsumerRecord) -> None:
        delivery = Delivery(
            topic=self._topic,
            group=self._group,
            key=(record.key or b"").decode(errors="replace"),
            data=record.value or b"",
        )
        letter = await self._courier.deliver(delivery, self._handler)
        if letter is not None:
            await self._bury(letter, record)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

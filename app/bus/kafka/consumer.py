"""One call of `consume` on Kafka: aiokafka consumers, each replaced by the next one when it fails."""

from collections.abc import Awaitable, Callable

import structlog
from aiokafka import ConsumerRecord, TopicPartition, errors
from anyio import sleep
from anyio.abc import TaskStatus

from ...messages import Topic
from .. import BusError, Handler
from ..delivery import DeadLetter, Deliverer, Delivery
from .session import ConsumerSession, StalledError

log = structlog.get_logger(__name__)

_RESTART_DELAY = 0.5  # seconds
_REJECTIONS = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidGroupIdError,
    errors.InconsistentGroupProtocolError,
)


class Consumer:
    """Runs consumer sessions one after the other. No message is lost between two of them."""

    def __init__(
        self,
        topic: Topic,
        group: str | None,
        handler: Handler,
        deliverer: Deliverer,
        send_to_dead_letter: Callable[[DeadLetter, ConsumerRecord], Awaitable[None]],
    ) -> None:
        self._topic = topic
        self._group = group
        self._handler = handler
        self._deliverer = deliverer
        self._send_to_dead_letter = send_to_dead_letter

    async def run(self, open_session: Callable[..., ConsumerSession], task_status: TaskStatus[None]) -> None:
        """Consume until cancelled.

        Raises:
            BusError: the brokers refuse the consumer.
        """
        positions: dict[TopicPartition, int] = {}
        is_ready = False
        logged = ""

        def on_ready() -> None:
            nonlocal is_ready, logged
            if not is_ready:
                is_ready = True
                task_status.started()
            logged = ""

        while True:
            failure: BaseException | None = None
            try:
                await open_session(handle=self._deliver, positions=positions).run(on_ready)
            except* (errors.KafkaError, StalledError, OSError) as group:
                failure = _first(group)
            if isinstance(failure, _REJECTIONS):
                raise BusError(f"Kafka refuses the consumer of {self._topic.name}: {failure}") from failure
            if str(failure) != logged:  # the same error once, however long an outage lasts
                logged = str(failure)
                log.warning(
                    "Kafka consumer is restarted", topic=self._topic.name, group=self._group, error=logged
                )
            await sleep(_RESTART_DELAY)

    async def _deliver(self, record: ConsumerRecord) -> None:
        delivery = Delivery(
            topic=self._topic,
            group=self._group,
            key=(record.key or b"").decode(errors="replace"),
            data=record.value or b"",
        )
        letter = await self._deliverer.deliver(delivery, self._handler)
        if letter is not None:
            await self._send_to_dead_letter(letter, record)


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

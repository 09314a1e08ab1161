"""What becomes of one message at one handler: done, tried again after a while, or a dead letter.

Backends differ in how a message gets here and in what they do with a dead letter, and in nothing else.
"""

import asyncio
import random

import structlog
from anyio import sleep
from msgspec import Struct

from ..domain.redaction import redact
from ..messages import Message, Topic
from . import Handler

log = structlog.get_logger(__name__)


class DeadLetter(Struct, frozen=True):
    """A message that a consumer gave up on. `group` is null for a consumer without one.

    `data` is as it was sent, for whoever mends it, with what passwords are in it; `error` has none.
    """

    topic: str
    group: str | None
    key: str
    data: bytes
    deliveries: int
    error: str


class Delivery(Struct, eq=False):
    """One message on its way to one group; its counts outlive the consumers that try it."""

    topic: Topic
    group: str | None
    key: str
    data: bytes
    refusals: int = 0  # failures for a reason of its own
    failures: int = 0  # those, and the transient ones


class Courier:
    """Brings deliveries to handlers. Times are in seconds.

    `transient` errors are retried for ever; any other error counts towards `max_deliveries`. The wait after
    a failure doubles from about `first_retry` up to `longest_retry`.
    """

    def __init__(
        self,
        *,
        max_deliveries: int = 5,
        transient: tuple[type[Exception], ...] = (OSError, TimeoutError),
        first_retry: float = 0.1,
        longest_retry: float = 5.0,
    ) -> None:
        self._max_deliveries = max_deliveries
        self._transient = transient
        self._first_retry = first_retry
        self._longest_retry = longest_retry
        self._handling: set[asyncio.Task[object] | None] = set()

    def refuse_handlers(self) -> None:
        """Raise RuntimeError where the caller is a handler. A task that a handler started is none."""
        if asyncio.current_task() in self._handling:
            raise RuntimeError("a handler must not publish: write to the outbox, or let another task do it")

    async def deliver(self, delivery: Delivery, handler: Handler) -> DeadLetter | None:
        """Return once the handler is done with the message, or with the dead letter that it became.

        Cancelled, it may be called again with the same delivery, and any handler of the group.
        """
        try:
            message = delivery.topic.decode(delivery.data)
        except Exception as error:  # whatever the bytes provoke, they will provoke it again
            return _bury(delivery, error)
        while True:
            refused = await self._attempt(message, delivery, handler)
            if refused is None:
                return None
            if delivery.refusals >= self._max_deliveries:
                return _bury(delivery, refused)
            pause = self.pause(delivery.failures)
            log.warning(
                "delivery failed, will be repeated",
                topic=delivery.topic.name,
                group=delivery.group,
                key=delivery.key,
                message=type(message).__name__,
                error=_describe(refused),
                failures=delivery.failures,
                pause=round(pause, 3),
            )
            await sleep(pause)

    async def _attempt(self, message: Message, delivery: Delivery, handler: Handler) -> BaseException | None:
        task = asyncio.current_task()
        self._handling.add(task)
        try:
            await handler(message)
        except self._transient as error:
            failure: BaseException = error
        except Exception as error:
            failure = error
            delivery.refusals += 1
        except asyncio.CancelledError as error:
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this task: the handler waited for something that was. Passed on, it would end
            # the consumer without a sound.
            failure = error
            delivery.refusals += 1
        else:
            return None
        finally:
            self._handling.discard(task)
        delivery.failures += 1
        return failure

    def pause(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row: half at random, so that retries spread."""
        longest = min(self._longest_retry, self._first_retry * 2.0 ** min(failures - 1, 30))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  no secret


def _bury(delivery: Delivery, error: BaseException) -> DeadLetter:
    letter = DeadLetter(
        topic=delivery.topic.name,
        group=delivery.group,
        key=delivery.key,
        data=delivery.data,
        deliveries=delivery.refusals,
        error=_describe(error),
    )
    log.error(
        "message given up",
        topic=f"{letter.topic}.dead",
        group=letter.group,
        key=letter.key,
        deliveries=letter.deliveries,
        error=letter.error,
        exc_info=error,
    )
    return letter


def _describe(error: BaseException) -> str:
    return redact(f"{type(error).__name__}: {error}")

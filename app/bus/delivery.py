"""Deliver a message to a handler: it succeeds, is retried after a backoff, or becomes a dead letter.

Every backend shares this code. Backends differ only in how messages arrive and where dead letters go.
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


class RetryPolicy(Struct, frozen=True, kw_only=True):
    """When a failed delivery is repeated, and when it is given up.

    Errors in `transient` are retried without limit; after `max_deliveries` other errors the message becomes a
    dead letter. The backoff doubles from about `first_retry` to `longest_retry`, in seconds.
    """

    max_deliveries: int = 5
    transient: tuple[type[Exception], ...] = (OSError, TimeoutError)
    first_retry: float = 0.1
    longest_retry: float = 5.0

    def backoff(self, failures: int) -> float:
        """Return the seconds to wait after `failures` failures in a row, with 50 % jitter."""
        longest = min(self.longest_retry, self.first_retry * 2.0 ** min(failures - 1, 30))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  not a secret


class DeadLetter(Struct, frozen=True):
    """A message that a group gave up. `group` is null if its consumer has no group.

    `data` is the message as it was published, including passwords in it, so that it can be published again
    after a repair. `error` contains no passwords.
    """

    topic: str
    group: str | None
    key: str
    data: bytes
    deliveries: int
    error: str


class Delivery(Struct, eq=False):
    """One message on its way to one group. Its counters outlive the consumers that try it."""

    topic: Topic
    group: str | None
    key: str
    data: bytes
    permanent_failures: int = 0  # errors that are not transient; they count towards `max_deliveries`
    failures: int = 0  # all errors


class Deliverer:
    """Passes deliveries to handlers and retries them according to a policy."""

    def __init__(self, retry: RetryPolicy | None = None) -> None:
        self._retry = retry or RetryPolicy()
        self._handling: set[asyncio.Task[object] | None] = set()

    def forbid_in_handler(self) -> None:
        """Raise RuntimeError if the current task runs a handler. A task that a handler started passes."""
        if asyncio.current_task() in self._handling:
            raise RuntimeError("a handler must not publish: write to the outbox, or let another task publish")

    async def deliver(self, delivery: Delivery, handler: Handler) -> DeadLetter | None:
        """Return None if the handler succeeded, or the dead letter that the message became.

        After a cancellation it may be called again with the same delivery and any handler of the group.
        """
        try:
            message = delivery.topic.decode(delivery.data)
        except Exception as error:  # the same bytes would fail in the same way again
            return _dead_letter(delivery, error)
        while True:
            failure = await self._try(message, delivery, handler)
            if failure is None:
                return None
            if delivery.permanent_failures >= self._retry.max_deliveries:
                return _dead_letter(delivery, failure)
            backoff = self._retry.backoff(delivery.failures)
            log.warning(
                "delivery failed and will be retried",
                topic=delivery.topic.name,
                group=delivery.group,
                key=delivery.key,
                message=type(message).__name__,
                error=_describe(failure),
                failures=delivery.failures,
                backoff=round(backoff, 3),
            )
            await sleep(backoff)

    async def _try(self, message: Message, delivery: Delivery, handler: Handler) -> BaseException | None:
        task = asyncio.current_task()
        self._handling.add(task)
        try:
            await handler(message)
        except self._retry.transient as error:
            failure: BaseException = error
        except Exception as error:
            failure = error
            delivery.permanent_failures += 1
        except asyncio.CancelledError as error:
            if task is None or task.cancelling():
                raise
            # This task was not cancelled: the handler awaited a task that was. If the error went on, it would
            # end the consumer silently.
            failure = error
            delivery.permanent_failures += 1
        else:
            return None
        finally:
            self._handling.discard(task)
        delivery.failures += 1
        return failure


def _dead_letter(delivery: Delivery, error: BaseException) -> DeadLetter:
    letter = DeadLetter(
        topic=delivery.topic.name,
        group=delivery.group,
        key=delivery.key,
        data=delivery.data,
        deliveries=delivery.permanent_failures,
        error=_describe(error),
    )
    log.error(
        "message given up and sent to dead letters",
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

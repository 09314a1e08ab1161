"""The message bus between api, orchestrator and runner, independent of the backend that carries it.

The delivery contract. One test suite holds every backend to it.

- **Durability.** When `publish` returns, the message survives the death of this process. On Kafka, all
  in-sync replicas have stored it. On the in-memory bus, the handler of every group that the topic declares
  has finished with it; if a group has no consumer yet, `publish` waits for one.
- **Delivery.** Each group receives each message at least once. Messages with the same key are handled in the
  order in which they were published. The consumers of a group share its messages. One consumer may handle
  several keys at the same time.
- **Retries.** If a handler raises, the message is delivered to it again after a backoff. Until then, later
  messages with the same key wait.
- **Cancellation.** A cancelled consumer loses no message: the next consumer of its group receives the message
  that was being handled. A cancelled `publish` may or may not have delivered its message.
- **Dead letters.** Connection errors and time-outs are retried without limit. A message that cannot be
  decoded, or whose handler fails `max_deliveries` times with any other error, is sent to `<topic>.dead`, and
  the messages after it are delivered.
- **Handlers do not publish.** `publish` raises RuntimeError in a handler. A handler writes to the outbox
  instead, or has another task publish.
- **Bounded memory.** A consumer that lags behind loses no message and does not fill the memory. On the
  in-memory bus, publishers wait for it.
- **Consumers without a group** receive every message that is published after `consume` reports that it is
  ready.
- **Closing.** After the bus is closed, `publish` and `consume` raise BusUnavailableError. So do calls of
  `publish` that are still waiting.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from ..messages import Message, Topic

Handler = Callable[[Message], Awaitable[None]]
Publish = Callable[[Topic, Message, str], Awaitable[None]]


class Bus(Protocol):
    """A backend of the bus. Every backend encodes messages with the topic's codec."""

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        """Publish one message. Messages with the same key keep their order.

        Raises:
            TypeError: the message does not belong on the topic.
            RuntimeError: the caller is a handler.
            BusUnavailableError: the message was not accepted; it may still be delivered.
        """

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """Pass messages to `handler` until cancelled.

        `task_group.start()` returns when the position from which messages are read is fixed.

        Raises:
            ValueError: the topic does not declare the group.
            BusUnavailableError: the bus is closed.
        """

    def partition_keys(self, topic: Topic) -> Sequence[str]:
        """Return one key for each partition: a message with each of them reaches every partition."""


class BusUnavailableError(Exception):
    """The broker cannot be reached, or the bus is closed, and the caller should not wait any longer."""


class BusError(Exception):
    """The bus cannot work as configured, and waiting does not help. The text is one line for the user."""

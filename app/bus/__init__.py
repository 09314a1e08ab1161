"""The bus: how api, orchestrator and runner talk, whatever carries it.

The delivery contract, which one test-suite holds every backend to:

- `publish` returns once the message can no longer be lost by this process dying. Kafka: all in-sync
  replicas have it. Memory: the handler of every group its topic declares has finished with it, which waits
  for groups that have not subscribed yet.
- At least once per group; in order per key. The consumers of a group share its messages, and one consumer
  may handle several keys at once. A handler that raises sees its message again after a backoff, and later
  messages of that key wait meanwhile. A cancelled consumer loses nothing: the group's next one gets the
  message it had in hand. A cancelled `publish` promises nothing.
- Connection errors and time-outs are retried for ever. A message that cannot be decoded, or that fails
  `max_deliveries` times for a reason of its own, becomes a dead letter on `<topic>.dead`; the rest flows on.
- A handler never publishes (RuntimeError): it writes to the outbox, or registers what a task of its own
  will do.
- Bounded: where a consumer lags far behind, it loses nothing and memory does not fill. On the memory
  backend the publisher waits.
- A consumer without a group reads every message from now on, "now" being before `consume` reports ready.
- A bus that was closed raises BusUnavailableError, from a `publish` that waits too.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus

from ..messages import Message, Topic

Handler = Callable[[Message], Awaitable[None]]
Publish = Callable[[Topic, Message, str], Awaitable[None]]


class Bus(Protocol):
    """What a backend offers. Both encode with the topic's codec, so that tests exercise the wire format."""

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        """Hand over one message; messages of one key keep their order.

        Raises TypeError for a message that is not the topic's, RuntimeError from within a handler.
        """

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """Feed `handler` until cancelled; `task_group.start()` returns once the position is fixed.

        Raises ValueError for a group that the topic does not declare.
        """

    def partition_keys(self, topic: Topic) -> Sequence[str]:
        """One key for each partition of the topic: publishing with all of them reaches every partition."""


class BusUnavailableError(Exception):
    """The broker cannot be reached. Backends raise it where waiting longer would not help the caller."""


class BusError(Exception):
    """The bus cannot go on as it is set up, and waiting does not help. The text is one line for the user."""

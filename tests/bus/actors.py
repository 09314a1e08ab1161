"""Consumers and handlers that the bus tests share."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from anyio import Event, create_task_group
from anyio.abc import TaskGroup

from app.bus import Bus, Handler
from app.bus.delivery import DeadLetter
from app.messages import Message, Topic
from tests.bus.harness import Harness, Note
from tests.support.waiting import until


@asynccontextmanager
async def consuming(
    bus: Bus, topic: Topic, handler: Handler, group: str | None = None
) -> AsyncGenerator[None, None]:
    """Run a consumer that is ready when the block begins and cancelled when it ends."""
    async with create_task_group() as tasks:
        await tasks.start(partial(bus.consume, topic, handler, group=group))
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def background() -> AsyncGenerator[TaskGroup, None]:
    """A task group for tasks beside the block; they are cancelled when it ends."""
    async with create_task_group() as tasks:
        yield tasks
        tasks.cancel_scope.cancel()


class Inbox:
    """A handler that keeps the messages it receives."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    def numbers(self, key: str) -> list[int]:
        return [note.number for note in self.messages if isinstance(note, Note) and note.key == key]


class BlockedInbox(Inbox):
    """A handler that records each message in `begun`, and keeps it only after `unblocked` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Message] = []
        self.unblocked = Event()

    async def __call__(self, message: Message) -> None:
        self.begun.append(message)
        await self.unblocked.wait()
        await super().__call__(message)


class FailingInbox(Inbox):
    """A handler that raises the given errors, one per call, and then keeps messages.

    It raises only for messages with the number `fails_on`.
    """

    def __init__(self, *errors: BaseException, fails_on: int = 0) -> None:
        super().__init__()
        self.calls = 0
        self._errors = list(errors)
        self._fails_on = fails_on

    async def __call__(self, message: Message) -> None:
        if isinstance(message, Note) and message.number == self._fails_on:
            self.calls += 1
            if self._errors:
                raise self._errors.pop(0)
        await super().__call__(message)


async def first_dead_letters(harness: Harness, topic: Topic) -> Sequence[DeadLetter]:
    """Wait for dead letters of the topic and return them, oldest first."""

    async def letters() -> Sequence[DeadLetter]:
        return await harness.dead_letters(topic)

    found: Sequence[DeadLetter] = await until(letters)
    return found

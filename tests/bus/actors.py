"""Consumers and handlers that the bus tests share."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from anyio import Event, create_task_group
from anyio.abc import TaskGroup

from app.bus import Bus, Handler
from app.messages import Message, Topic
from tests.bus.harness import Note


@asynccontextmanager
async def consuming(
    bus: Bus, topic: Topic, handler: Handler, group: str | None = None
) -> AsyncGenerator[None, None]:
    """A consumer that is ready inside the block and cancelled after it."""
    async with create_task_group() as tasks:
        await tasks.start(partial(bus.consume, topic, handler, group=group))
        yield
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def background() -> AsyncGenerator[TaskGroup, None]:
    """Tasks beside the block; what is left of them after it is cancelled."""
    async with create_task_group() as tasks:
        yield tasks
        tasks.cancel_scope.cancel()


class Inbox:
    """A handler that keeps what it was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    def numbers(self, key: str) -> list[int]:
        return [note.number for note in self.messages if isinstance(note, Note) and note.key == key]


class Gate(Inbox):
    """A handler that notes each message as begun, and keeps it once the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Message] = []
        self.opened = Event()

    async def __call__(self, message: Message) -> None:
        self.begun.append(message)
        await self.opened.wait()
        await super().__call__(message)


class Faulty(Inbox):
    """A handler that raises these errors, one a call, before it takes messages in.

    Only messages numbered `of` are refused.
    """

    def __init__(self, *errors: BaseException, of: int = 0) -> None:
        super().__init__()
        self.calls = 0
        self._errors = list(errors)
        self._of = of

    async def __call__(self, message: Message) -> None:
        if isinstance(message, Note) and message.number == self._of:
            self.calls += 1
            if self._errors:
                raise self._errors.pop(0)
        await super().__call__(message)

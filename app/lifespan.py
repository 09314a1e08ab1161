"""Around a server's life: faults in one line, the signal that ends it, parts that may not die unseen."""

import os
import signal
import sys
import threading
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any

import structlog
from anyio import Event, create_task_group
from anyio.abc import TaskGroup, TaskStatus

Asgi = Callable[[Any, Any, Any], Awaitable[None]]

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The service cannot start; the text is one line for the user."""


def said_in_one_line(app: Asgi) -> Asgi:
    """`app`, but for a start that a StartError ends the server is given that one line, and no traceback."""

    async def wrapped(scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def say(message: dict[str, Any]) -> None:
            if message["type"] == "lifespan.startup.failed":
                fault = _only(sys.exception())
                if isinstance(fault, StartError):
                    message["message"] = f"videoanalysis: {fault}"
            await send(message)

        await app(scope, receive, say if scope["type"] == "lifespan" else send)

    return wrapped


def _only(fault: BaseException | None) -> BaseException | None:
    while isinstance(fault, BaseExceptionGroup) and len(fault.exceptions) == 1:
        fault = fault.exceptions[0]
    return fault


@contextmanager
def on_termination(stopping: Event) -> Iterator[None]:
    """Set `stopping` on SIGTERM and SIGINT too, and let whoever handled them before go on.

    The server closes its connections before it ends the application, and an event stream never would.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        previous = before[signal.Signals(number)]
        if callable(previous):
            previous(number, frame)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@asynccontextmanager
async def tasks() -> AsyncGenerator[TaskGroup, None]:
    """A task group whose tasks are cancelled at the block's end."""
    async with create_task_group() as group:
        yield group
        group.cancel_scope.cancel()


async def start(group: TaskGroup, role: str, work: Callable[..., Awaitable[None]]) -> None:
    """Start `work` in the group and return once it is ready; what fails before that is raised here.

    Should it fail later, the process is ended in good order, rather than living on without that part.
    """
    ready = False

    async def run(*, task_status: TaskStatus[None]) -> None:
        try:
            await work(task_status=task_status)
        except Exception:
            if not ready:
                raise
            log.critical("a part of the service failed, so all of it stops", role=role, exc_info=True)
            os.kill(os.getpid(), signal.SIGTERM)

    await group.start(run)
    ready = True

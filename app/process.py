"""Around a server's life: faults in one line, the signal that ends it, parts that may not die unseen."""

import os
import signal
import sys
import threading
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Any, TypeVar

import structlog
from anyio import TASK_STATUS_IGNORED, Event, create_task_group
from anyio.abc import TaskGroup, TaskStatus

from .bus import BusError

if sys.platform != "win32":
    import resource

_MANY_FILES = 65_536
Asgi = Callable[[Any, Any, Any], Awaitable[None]]

log = structlog.get_logger(__name__)

Fault = TypeVar("Fault", bound=BaseException | None)


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


def _only(fault: Fault) -> Fault | Exception:
    """What task groups wrapped, where it is one exception."""
    only: Fault | Exception = fault
    while isinstance(only, ExceptionGroup) and len(only.exceptions) == 1:
        only = only.exceptions[0]
    return only


def allow_many_files() -> None:
    """Let this process open as many files as it may: every camera takes some, and every slow client one."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, _MANY_FILES)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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


async def start(group: TaskGroup, part: str, work: Callable[..., Awaitable[None]]) -> None:
    """Start `work` in the group and return once it is ready; what fails before that is raised here.

    Should it fail later, the process is ended in good order, rather than living on without that part.
    """
    ready = False

    async def run(*, task_status: TaskStatus[None]) -> None:
        try:
            await work(task_status=task_status)
        except Exception as fault:
            if not ready:
                raise _only(fault) from fault
            _end_process(part, fault)

    await group.start(run)
    ready = True


def start_in_background(group: TaskGroup, part: str, work: Callable[..., Awaitable[None]]) -> None:
    """Start `work` in the group and return; should it ever fail, the process is ended in good order."""

    async def run() -> None:
        try:
            await work(task_status=TASK_STATUS_IGNORED)
        except Exception as fault:
            _end_process(part, fault)

    group.start_soon(run)


def _end_process(part: str, fault: Exception) -> None:
    only = _only(fault)
    if isinstance(only, StartError | BusError):
        log.critical("cannot go on", reason=str(only))
    else:
        log.critical("a part of the service failed, so all of it stops", part=part, exc_info=fault)
    os.kill(os.getpid(), signal.SIGTERM)

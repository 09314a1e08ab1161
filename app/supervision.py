"""Start the parts of the service; end the process if one of them fails, with one line for the user."""

import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog
from anyio import TASK_STATUS_IGNORED, create_task_group
from anyio.abc import TaskGroup, TaskStatus

from .bus import BusError

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
Work = Callable[..., Awaitable[None]]
"""What a part does until it is cancelled; it is given `task_status`, and calls `started` when it is ready."""

log = structlog.get_logger(__name__)

Fault = TypeVar("Fault", bound=BaseException | None)


class StartError(Exception):
    """The service cannot start; the text is one line for the user."""


def show_start_errors_in_one_line(app: Asgi) -> Asgi:
    """Wrap `app` so that the server prints a StartError as one line, without a traceback."""

    async def wrapped(scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def send_one_line(message: dict[str, Any]) -> None:
            if message["type"] == "lifespan.startup.failed":
                fault = unwrap(sys.exception())
                if isinstance(fault, StartError):
                    message["message"] = f"videoanalysis: {fault}"
            await send(message)

        await app(scope, receive, send_one_line if scope["type"] == "lifespan" else send)

    return wrapped


def unwrap(fault: Fault) -> Fault | Exception:
    """Return the exception inside task groups' exception groups, if it is the only one."""
    only: Fault | Exception = fault
    while isinstance(only, ExceptionGroup) and len(only.exceptions) == 1:
        only = only.exceptions[0]
    return only


@asynccontextmanager
async def cancelled_at_exit() -> AsyncGenerator[TaskGroup, None]:
    """Open a task group whose tasks are cancelled when the block ends."""
    async with create_task_group() as group:
        yield group
        group.cancel_scope.cancel()


async def start_part(group: TaskGroup, part: str, work: Work) -> None:
    """Start `work` in the group and return when it is ready.

    If it fails before that, raise its exception here. If it fails later, stop the whole process in good
    order, because the process would otherwise live on without that part.
    """
    ready = False

    async def run(*, task_status: TaskStatus[None]) -> None:
        try:
            await work(task_status=task_status)
        except Exception as fault:
            if not ready:
                raise unwrap(fault) from fault
            _end_process(part, fault)

    await group.start(run)
    ready = True


def start_part_in_background(group: TaskGroup, part: str, work: Work) -> None:
    """Start `work` in the group and return at once; if it ever fails, stop the process in good order."""

    async def run() -> None:
        try:
            await work(task_status=TASK_STATUS_IGNORED)
        except Exception as fault:
            _end_process(part, fault)

    group.start_soon(run)


def _end_process(part: str, fault: Exception) -> None:
    only = unwrap(fault)
    if isinstance(only, StartError | BusError):
        log.critical("cannot go on", reason=str(only))
    else:
        log.critical("a part of the service failed, so all of it stops", part=part, exc_info=fault)
    os.kill(os.getpid(), signal.SIGTERM)

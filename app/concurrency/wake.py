"""An auto-reset event for one waiting task, and how other threads set it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from anyio import Event, move_on_after


class Wake:
    """Set by any number of tasks; one task waits. A call before the wait is not lost."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Wake the waiting task, or end its next wait at once."""
        self._event.set()

    async def wait(self, timeout: float) -> None:
        """Return when set, at the latest after `timeout` seconds."""
        with move_on_after(timeout):
            await self._event.wait()
        self._event = Event()


def from_threads(callback: Callable[[], None]) -> Callable[[], None]:
    """Return a function that any thread may call to have `callback` called in this event loop.

    Nothing happens if the event loop has ended: a read may outlast it.
    """
    loop = asyncio.get_running_loop()

    def call() -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(callback)

    return call

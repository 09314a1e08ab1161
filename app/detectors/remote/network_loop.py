"""An event loop in a thread of its own, for requests that other threads wait for."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Event, Lock
from typing import Any, TypeVar

from ...concurrency.threads import start_thread

Answer = TypeVar("Answer")

_GRACE = 0.5  # seconds


class NetworkLoop:
    """Runs coroutines for other threads. They can abandon one at any time by cancelling its future."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        self._has_ended = Event()

    def submit(self, work: Coroutine[Any, Any, Answer]) -> "Future[Answer]":
        """Begin the work in the loop's thread, which is started if need be.

        Raises:
            RuntimeError: the thread cannot be started, or has been ended.
        """
        with self._lock:
            if self._is_closed:
                work.close()
                raise RuntimeError("the thread has been ended")
            if self._loop is None:
                loop = asyncio.new_event_loop()
                try:
                    start_thread("inference", self._run, loop)
                except RuntimeError:
                    work.close()
                    loop.close()
                    raise
                self._loop = loop
            return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End the thread. What runs has half a second to end by itself, and is then cancelled."""
        with self._lock:
            self._is_closed = True
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._has_ended.wait(2 * _GRACE)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
            loop.run_until_complete(_end(asyncio.all_tasks(loop)))
        finally:
            loop.close()
            self._has_ended.set()


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=_GRACE)
        for task in pending:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

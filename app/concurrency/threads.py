"""Threads for slow work: decoding and detecting."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from ..allocator import return_free_memory

NICENESS = 10
"""How much nicer than the process threads are that do slow work, so that the event loop comes first."""

_NICEST = 19

_LINGER = 10.0  # seconds that a thread waits for more work before it ends


class _Job(NamedTuple):
    name: str
    context: Context
    work: Callable[..., None]
    arguments: tuple[object, ...]


_idle: dict[bool, list[SimpleQueue[_Job]]] = {True: [], False: []}
"""The inboxes of idle threads, by whether the thread is nice: its nice value cannot be lowered again. Lists,
because each of their calls is atomic."""


def start_thread(name: str, work: Callable[..., None], *arguments: object, is_nice: bool = True) -> None:
    """Run `work` in a daemon thread, with a raised nice value if the system has one for each thread.

    With four 720p scenarios on two cores, being nice halved the median time of a GET and its 99th percentile
    (measured). The thread has the caller's context, so its log lines bear the names of the run. An idle
    thread is used again if there is one: to start one takes as long as to open a small video.
    """
    job = _Job(name, copy_context(), work, arguments)
    try:
        inbox = _idle[is_nice].pop()
    except IndexError:
        threading.Thread(target=_serve, args=(job, is_nice), name=name, daemon=True).start()
    else:
        inbox.put(job)


def slow_priority(process: int) -> int:
    """Return the nice value of the slow work of a process. Without root, none below its own can be set."""
    return min(os.getpriority(os.PRIO_PROCESS, process) + NICENESS, _NICEST)


def _serve(first: _Job, is_nice: bool) -> None:
    if is_nice and sys.platform == "linux":  # elsewhere it would slow down the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), slow_priority(os.getpid()))
    thread, inbox, idle = threading.current_thread(), SimpleQueue[_Job](), _idle[is_nice]
    job: _Job | None = first
    del first  # a job keeps what it works on
    while job is not None:
        thread.name = job.name
        job.context.run(job.work, *job.arguments)
        job = None
        thread.name = "idle"
        idle.append(inbox)
        job = _next(inbox, idle)
    if not idle:  # the last thread of a burst
        return_free_memory()


def _next(inbox: "SimpleQueue[_Job]", idle: "list[SimpleQueue[_Job]]") -> _Job | None:
    """Return the next job, or None if there was none for a while and none can come any more."""
    try:
        return inbox.get(timeout=_LINGER)
    except Empty:
        try:
            idle.remove(inbox)
        except ValueError:  # somebody has just taken it, to put a job in
            return inbox.get()
        return None


Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


class DedicatedThread(Generic[Arguments, Answer]):
    """Calls a function in one and the same thread, whichever thread asks for it."""

    def __init__(self, name: str, function: Callable[Arguments, Answer]) -> None:
        self._name = name
        self._function = function
        self._lock = threading.Lock()
        self._is_started = False
        self._is_closed = False
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def __call__(self, *arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        """Call the function, and wait for its answer.

        Raises:
            RuntimeError: the thread was closed, or cannot be started.
            Exception: whatever the function raises.
        """
        future: Future[Answer] = Future()

        def call() -> None:
            try:
                future.set_result(self._function(*arguments, **named))
            except BaseException as error:  # for the caller to handle
                future.set_exception(error)

        with self._lock:
            if self._is_closed:
                raise RuntimeError("the thread was closed")
            if not self._is_started:
                start_thread(self._name, self._serve)
                self._is_started = True
            self._calls.put(call)
        return future.result()

    def close(self) -> None:
        """End the thread after the calls that were begun. Does not wait for it."""
        with self._lock:
            self._is_closed = True
            self._calls.put(None)

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call


async def in_daemon_thread(name: str, work: Callable[[], Result]) -> Result:
    """Return what `work()` returns or raise what it raises; it is left alone if this is cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()
    ended = threading.Event()

    def tell(result: Any, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        told: tuple[Any, Exception | None]
        try:
            told = work(), None
        except Exception as error:
            told = None, error
        if not ended.is_set():
            try:
                loop.call_soon_threadsafe(tell, *told)
            except RuntimeError:  # the loop has ended
                return

    start_thread(name, run)
    try:
        return await done
    finally:
        ended.set()

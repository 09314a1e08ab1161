"""Worker threads that all runs of a process share."""

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from contextvars import Context
from queue import Empty, SimpleQueue
from threading import Lock, get_ident
from weakref import WeakValueDictionary

from msgspec import Struct, field

from ...concurrency.threads import start_thread

STUCK_AFTER = 10.0
"""Seconds after which a task that does not end is not waited for: another thread takes its place."""

NETWORK_WORKERS = 32
"""Requests that wait for the answers of the same servers at once, at most."""

_LINGER = 1.0  # seconds that a thread waits for a task before it ends

Task = Callable[[], bool]
"""One piece of work. It returns whether there is more, and must not raise."""


class Workers:
    """Does tasks in the order in which they were submitted, at most `count` at a time.

    More threads than cores take the cores from each other in the middle of a picture, which empties their
    caches: four scenarios with two threads each took 13 % more CPU per frame than one alone (measured).
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._lock = Lock()
        self.threads = 0
        """How many there are; one that has had nothing to do for a second ends."""
        self._stuck = 0
        self._since: dict[int, float] = {}

    def submit(self, task: Task) -> None:
        """Have a task done, and again while it returns that there is more. Any thread may call it.

        Raises:
            RuntimeError: there is no thread, and none can be started.
        """
        with self._lock:
            self._start_one()
            self._tasks.put(task)

    def replace_stuck(self) -> None:
        """Start a thread for each one that is stuck. Whoever waits for a task must call this regularly."""
        now = time.monotonic()
        with self._lock:
            self._stuck = sum(now - since > STUCK_AFTER for since in list(self._since.values()))
            if not self._tasks.empty():
                self._start_one()

    def _start_one(self) -> None:
        if self.threads - self._stuck >= self.count:
            return
        # If no thread can be started, those that are there do the task later.
        with suppress(RuntimeError) if self.threads else nullcontext():
            Context().run(start_thread, "detect", self._serve)  # it serves all runs, not the one that asked
            self.threads += 1

    def _serve(self) -> None:
        while (task := self._next()) is not None:
            if self._do(task):
                self._tasks.put(task)
            del task

    def _do(self, task: Task) -> bool:
        """Do a task, and again while no other task waits. Returns whether there is more."""
        me = get_ident()
        while True:
            self._since[me] = time.monotonic()
            has_more = task()
            if not has_more or not self._tasks.empty() or self._are_too_many():
                break
        del self._since[me]
        return has_more

    def _next(self) -> Task | None:
        """Return the next task, None if the thread is not needed any more."""
        while True:
            if not self._are_too_many():
                with suppress(Empty):
                    return self._tasks.get(timeout=_LINGER)
            with self._lock:
                if self._are_too_many() or self._tasks.empty():
                    self.threads -= 1
                    return None

    def _are_too_many(self) -> bool:
        return self.threads - self._stuck > self.count


class WorkerLanes(Struct, frozen=True):
    """Workers for detectors that compute, as many as cores, and others for those that wait for servers.

    Those are for the same servers: servers that do not answer hold up no detector of others.
    """

    cores: Workers
    _network: WeakValueDictionary[str, Workers] = field(default_factory=WeakValueDictionary)

    def lane(self, servers: str) -> Workers:
        """Return the workers for detectors that wait for these servers; empty: for those that compute."""
        if not servers:
            return self.cores
        return self._network.setdefault(servers, Workers(NETWORK_WORKERS))

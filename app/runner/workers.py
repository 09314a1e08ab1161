"""The threads that detect, shared by all runs of a process: as many as there are cores to compute on."""

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from contextvars import Context
from queue import Empty, SimpleQueue
from threading import Lock, get_ident

from ..concurrency.threads import start_thread

PATIENCE = 10.0
"""Seconds after which a turn that does not end is not waited for: another thread takes its place."""

_LINGER = 1.0  # seconds that a thread waits for a turn before it is given back

Turn = Callable[[], bool]
"""One piece of work. It returns whether there is more, and must not raise."""


class Workers:
    """Does turns, in the order in which they were asked for, `count` at a time. Any thread may ask.

    More threads than cores take the cores from each other in the middle of a picture, which empties their
    caches: four scenarios that had two each took 13 % more processor time for a frame than one alone.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._turns: SimpleQueue[Turn] = SimpleQueue()
        self._lock = Lock()
        self.threads = 0
        """How many there are; one that has had nothing to do for a second is given back."""
        self._stuck = 0
        self._since: dict[int, float] = {}

    def offer(self, turn: Turn) -> None:
        """Have a turn done, and others after it while it says so.

        Raises RuntimeError where there is no thread for it.
        """
        with self._lock:
            self._start_one()
            self._turns.put(turn)

    def look(self) -> None:
        """Notice turns that do not end. To be called now and then by whoever waits for one."""
        now = time.monotonic()
        with self._lock:
            self._stuck = sum(now - since > PATIENCE for since in list(self._since.values()))
            if not self._turns.empty():
                self._start_one()

    def _start_one(self) -> None:
        if self.threads - self._stuck >= self.count:
            return
        with suppress(RuntimeError) if self.threads else nullcontext():  # those that are there do it later
            Context().run(start_thread, "detect", self._serve)  # whoever asked first, it serves all
            self.threads += 1

    def _serve(self) -> None:
        while (turn := self._next()) is not None:
            if self._do(turn):
                self._turns.put(turn)
            del turn

    def _do(self, turn: Turn) -> bool:
        """Do a turn, and others after it while nobody else waits for one. Returns whether there is more."""
        me = get_ident()
        while True:
            self._since[me] = time.monotonic()
            more = turn()
            if not more or not self._turns.empty() or self._are_too_many():
                break
        del self._since[me]
        return more

    def _next(self) -> Turn | None:
        """The next turn; None where the thread is not needed any more."""
        while True:
            if not self._are_too_many():
                with suppress(Empty):
                    return self._turns.get(timeout=_LINGER)
            with self._lock:
                if self._are_too_many() or self._turns.empty():
                    self.threads -= 1
                    return None

    def _are_too_many(self) -> bool:
        return self.threads - self._stuck > self.count

"""Threads for what is slow: decoding and detecting."""

import os
import sys
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from typing import NamedTuple

from ..allocator import return_free_memory

NICENESS = 10
"""How far slow work gives way to the event loop."""

_LINGER = 10.0  # seconds that a thread waits for more work before it ends


class _Job(NamedTuple):
    name: str
    context: Context
    work: Callable[..., None]
    arguments: tuple[object, ...]


_idle: dict[bool, list[SimpleQueue[_Job]]] = {True: [], False: []}
"""Where threads that have nothing to do wait for it, by whether they give way: what gave way once may not
take that back. Lists because each of their calls is atomic."""


def start_thread(name: str, work: Callable[..., None], *arguments: object, patient: bool = True) -> None:
    """Run `work` in a daemon thread, behind the event loop where the system lets single threads give way.

    What is not `patient` does not give way. With four 720p scenarios on two cores, giving way halved the
    median time of a GET and its 99th percentile. The thread has the caller's context, so that what it logs
    bears the names of the run. It is one that has done other work before where one is free: starting one
    takes as long as opening a small video.
    """
    job = _Job(name, copy_context(), work, arguments)
    try:
        inbox = _idle[patient].pop()
    except IndexError:
        threading.Thread(target=_serve, args=(job, patient), name=name, daemon=True).start()
    else:
        inbox.put(job)


def _serve(first: _Job, patient: bool) -> None:
    if patient and sys.platform == "linux":  # elsewhere it would slow down the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    thread, inbox, idle = threading.current_thread(), SimpleQueue[_Job](), _idle[patient]
    job: _Job | None = first
    del first  # a job keeps what it works on
    while job is not None:
        thread.name = job.name
        job.context.run(job.work, *job.arguments)
        job = None
        thread.name = "idle"
        idle.append(inbox)
        job = _next(inbox, idle)
    if not idle:  # whatever came at once is over
        return_free_memory()


def _next(inbox: "SimpleQueue[_Job]", idle: "list[SimpleQueue[_Job]]") -> _Job | None:
    """The next job, or None where there was none for a while, and none can come any more."""
    try:
        return inbox.get(timeout=_LINGER)
    except Empty:
        try:
            idle.remove(inbox)
        except ValueError:  # somebody has just taken it, to put a job in
            return inbox.get()
        return None

"""Threads for what is slow: decoding and detecting."""

import os
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context

NICENESS = 10
"""How far slow work gives way to the event loop."""


def start_thread(name: str, work: Callable[..., None], *arguments: object, patient: bool = True) -> None:
    """Run `work` in a daemon thread, behind the event loop where the system lets single threads give way.

    What is not `patient` does not give way. With four 720p scenarios on two cores, giving way halved the
    median time of a GET and its 99th percentile. The thread has the caller's context, so that what it logs
    bears the names of the run.
    """

    def run() -> None:
        if patient and sys.platform == "linux":  # elsewhere it would slow down the whole process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        work(*arguments)

    threading.Thread(target=copy_context().run, args=(run,), name=name, daemon=True).start()

"""Everything that is set for the whole process: file limit, allocator, threads and signals."""

import gc
import signal
import sys
import threading
from asyncio import get_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import cv2
from anyio import Event
from prometheus_client import disable_created_metrics

from .allocator import tune_malloc

if sys.platform != "win32":
    import resource

_MAX_FILES = 65_536

# A thread that is busy in Python hands the interpreter over after 0.5 ms instead of 5 ms. Decoding and
# inference release the interpreter at every call, and would wait that long each time to get it back.
_SWITCH_INTERVAL = 0.0005  # seconds


def require_utf8() -> None:
    """Exit with one line if file names are not in UTF-8."""
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        sys.exit(
            f"videoanalysis: file names are read as {encoding} here, so that not all can be opened: start it"
            " with PYTHONUTF8=1, or in a UTF-8 locale (LC_ALL=C.UTF-8)"
        )


def configure_process() -> None:
    """Set what is true of the whole process. Call it once, before the service starts."""
    tune_malloc()
    # What is imported stays until the end. A full collection would look at all of it each time, and hold up
    # every thread for 75 ms (measured).
    gc.freeze()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # The runner's workers are the parallelism: OpenCV's own threads would compete with them for the cores,
    # and would return detections in the order in which they finish.
    cv2.setNumThreads(1)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    _raise_file_limit()
    _disable_core_dumps()


def _disable_core_dumps() -> None:
    """Let a crash leave no core dump, because it would hold keys and the passwords of cameras."""
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        # One byte is too little for a file, and Linux then gives the dump to no other program (0 would).
        limit = 0 if hard == 0 else 1
        resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _raise_file_limit() -> None:
    """Let this process open as many files as it may: every camera takes some, and every slow client one."""
    if sys.platform != "win32":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def set_on_termination(stopping: Event) -> Iterator[None]:
    """Inside the block, set `stopping` on SIGTERM and SIGINT, then call the handler that was there before.

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

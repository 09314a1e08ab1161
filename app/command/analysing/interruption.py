"""Ctrl-C: the first one stops in good order, the second one at once."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SAME = 0.5  # seconds in which a signal is the one before: `timeout` sends its own twice


@contextmanager
def interruptible() -> Iterator[set[int]]:
    """Inside the block, SIGINT and SIGTERM are only noted, in the set; the second one ends the process.

    The engine handles them first, and stops in good order. The second one waits for nothing, because a
    thread may hang in a call of the system. What was stored is safe: it survives the death of the process.
    """
    noted: set[int] = set()
    first = 0.0

    def note(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if not noted:
            first = time.monotonic()
        elif time.monotonic() - first > _SAME:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # progress bars had hidden the cursor
            os._exit(130)
        noted.add(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

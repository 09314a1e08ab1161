"""Drop privileges and limits that decoding does not need, so that a fault in it harms less."""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from ...concurrency.threads import slow_priority

_MEMORY = 2560 * 2**20  # bytes: 16 of the largest piece that FFmpeg may take at once
_FILES = 128
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def confine() -> None:
    """Limit this process for good: its priority, memory, files and privileges."""
    os.setpriority(os.PRIO_PROCESS, 0, slow_priority(os.getppid()))
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: _FILES}
    if sys.platform == "linux":  # elsewhere it does not bound memory that is mapped
        limits[resource.RLIMIT_DATA] = _MEMORY
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # If memory runs out, the kernel must end this process rather than a database.
        with suppress(OSError):  # a container may forbid it
            Path("/proc/self/oom_score_adj").write_text("500")
    for limit, wanted in limits.items():
        _, highest = resource.getrlimit(limit)
        highest = wanted if highest == resource.RLIM_INFINITY else min(highest, wanted)
        resource.setrlimit(limit, (highest, highest))

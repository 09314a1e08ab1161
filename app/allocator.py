"""Tune glibc malloc so that freed memory is reused or returned."""

import ctypes
import os
import sys
from functools import cache

# Settings of mallopt: the names of malloc.h without M_, which are also those of environment variables.
_MALLOC = {
    # Threads come and go with runs, frames are large, and one arena cannot use the free memory of another:
    # eight streams with a start and a stop a second took 400 MiB on two processors and grew; now 280 MiB.
    "ARENA_MAX": (-8, 2),
    # Returning each freed frame and tensor to the system at once costs page faults: 4 % of all frames/s.
    "MMAP_THRESHOLD_": (-3, 32 * 2**20),
    "TRIM_THRESHOLD_": (-1, 64 * 2**20),
}


def tune_malloc() -> None:
    """Have glibc keep freed memory between frames and share it between threads; MALLOC_* variables win."""
    libc = _libc()
    if libc and hasattr(libc, "mallopt"):
        for name, setting in _MALLOC.items():
            if f"MALLOC_{name}" not in os.environ:
                libc.mallopt(*setting)


def return_free_memory() -> None:
    """Have glibc return free memory to the system; by itself it returns only the end of an arena.

    It takes milliseconds, during which others wait for memory: call it in a thread, after work has ended.
    """
    libc = _libc()
    if libc and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


@cache
def _libc() -> ctypes.CDLL | None:
    """Return the C library of this process. On Linux it may be another one than glibc, such as musl."""
    return ctypes.CDLL(None) if sys.platform == "linux" else None

"""What the C library keeps of the memory that was given back to it: as much as helps, and no longer."""

import ctypes
import os
import sys

# What mallopt sets: the names of malloc.h without their M_, which are also those of environment variables.
_MALLOC = {
    # Threads come and go with runs, frames are large, and what one arena has free another cannot use: eight
    # streams with a start and a stop a second took 400 MiB on two processors and grew, and now keep to 280.
    "ARENA_MAX": (-8, 2),
    # Frames and tensors that are given back at once cost page faults at every use: 4 % of all frames/s.
    "MMAP_THRESHOLD_": (-3, 32 * 2**20),
    "TRIM_THRESHOLD_": (-1, 64 * 2**20),
}


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def share_memory() -> None:
    """Have glibc keep memory between frames, and share it between threads; what MALLOC_* say goes first."""
    if _libc and hasattr(_libc, "mallopt"):
        for name, setting in _MALLOC.items():
            if f"MALLOC_{name}" not in os.environ:
                _libc.mallopt(*setting)


def return_memory() -> None:
    """Have glibc return to the system what is free: left alone, it returns no more than the end of an arena.

    It takes milliseconds, in which others wait for memory: call it in a thread, and where work has ended.
    """
    if _libc and hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)

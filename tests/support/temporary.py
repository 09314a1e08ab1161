"""Temporary folders that do not wait for a disk."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

MEMORY = Path("/dev/shm")  # noqa: S108 - folders of unpredictable names are made in it
_OLD = 3 * 24 * 3600  # seconds


def has_room(needed: int) -> bool:
    """Return whether `needed` bytes are free for files in memory."""
    return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > needed


@contextmanager
def fast_folder(prefix: str) -> Iterator[Path]:
    """Yield a temporary folder: in memory if 2 GiB are free.

    On a busy disk, removing the ten thousand files of a Kafka broker took longer than a test may.
    """
    parent = MEMORY if has_room(2 * 2**30) else None
    for left in MEMORY.glob(f"{prefix}*"):  # by a session that was killed
        with suppress(FileNotFoundError):  # another session has just ended
            if time.time() - left.stat().st_mtime > _OLD:
                shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)

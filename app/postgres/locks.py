"""Locks between processes, which the kernel frees when their last holder dies."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self


class FileLock:
    """An advisory lock (flock) on a file or a folder, through a descriptor of its own.

    It is not inherited by processes started from here, except where `fileno()` is passed on: then they
    hold it too, and it is free once all of them have ended.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError where the path cannot be opened."""
        flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT
        self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def fileno(self) -> int:
        return self._fd

    def try_exclusive(self) -> bool:
        """Take it for this holder alone, or return False where somebody else has it."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take it along with others, or return False where somebody has it for themselves."""
        return self._try(fcntl.LOCK_SH)

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go, unless a process that it was passed on to still lives."""
        os.close(self._fd)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

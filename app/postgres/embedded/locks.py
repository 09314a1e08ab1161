"""Locks between processes, which the kernel frees when their last holder dies."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from anyio import sleep


class FileLock:
    """An advisory lock (flock) on a file or a folder, through a descriptor of its own.

    It is not inherited by processes started from here, except where `fileno()` is passed on: then they
    hold it too, and it is free once all of them have ended.
    """

    def __init__(self, path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> None:
        """On a file, made if missing. Raises OSError where it cannot be opened."""
        self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)

    @classmethod
    def on_folder(cls, path: Path) -> Self:
        """On a folder that is there. Raises OSError where it is not."""
        return cls(path, os.O_RDONLY | os.O_DIRECTORY)

    def fileno(self) -> int:
        return self._fd

    def try_exclusive(self) -> bool:
        """Take it for this holder alone, or return False where somebody else has it."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take it along with others, or return False where somebody has it for themselves."""
        return self._try(fcntl.LOCK_SH)

    async def exclusive(self) -> None:
        """Wait until it is this holder's alone."""
        while not self.try_exclusive():  # noqa: ASYNC110 - another process frees it
            await sleep(0.02)

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

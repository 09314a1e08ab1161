"""File locks between processes. The kernel releases a lock when the last process that holds it dies."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from anyio import sleep


class FileLock:
    """An advisory lock (flock) on a file or folder, with its own file descriptor.

    Child processes inherit it only if `fileno()` is passed to them. Then they hold it too, and it is released
    when all of them have ended.
    """

    def __init__(self, path: Path, flags: int = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) -> None:
        """Lock a file, which is created if it is missing. Raises OSError if it is a link or is closed."""
        self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)

    @classmethod
    def on_folder(cls, path: Path) -> Self:
        """Lock an existing folder. Raises OSError if there is none."""
        return cls(path, os.O_RDONLY | os.O_DIRECTORY)

    def fileno(self) -> int:
        return self._fd

    def try_exclusive(self) -> bool:
        """Take an exclusive lock, or return False if the lock is held elsewhere."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take a shared lock, or return False if an exclusive one is held elsewhere."""
        return self._try(fcntl.LOCK_SH)

    async def exclusive(self) -> None:
        """Wait for an exclusive lock."""
        while not self.try_exclusive():  # noqa: ASYNC110  another process releases it
            await sleep(0.02)

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the descriptor, which releases the lock unless a child process holds it."""
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

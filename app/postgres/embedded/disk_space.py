"""Whether the disk of the embedded server is full. The server may have ended for it, and cannot tell."""

import os
from datetime import UTC, datetime
from pathlib import Path

MIN_FREE = 16 * 2**20
"""Bytes below which the disk counts as full: PostgreSQL's log grows by files of this size."""


class DiskSpace:
    """The free space of the disk that holds a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._full_since: datetime | None = None

    def full_since(self) -> datetime | None:
        """Return when the disk was first seen to be full, or None while it is not."""
        if self.free_bytes() >= MIN_FREE:
            self._full_since = None
        elif self._full_since is None:
            self._full_since = datetime.now(UTC)
        return self._full_since

    def free_bytes(self) -> int:
        """Return how many bytes can still be written."""
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize

"""Read a file at any place, before FFmpeg opens it."""

from typing import Protocol


class ReadableFile(Protocol):
    """A file on disk or on a web server."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, `b""` at the end."""

    def seek(self, offset: int, /) -> int:
        """Move the position to `offset`."""


class FileWindow:
    """Reads a file at any place, at least `least` bytes at once."""

    def __init__(self, file: ReadableFile, least: int) -> None:
        self._file = file
        self._least = least
        self._start = 0
        self._data = b""

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on, or fewer at the end of the file."""
        begin = offset - self._start
        if 0 <= begin <= len(self._data) - size:
            return self._data[begin : begin + size]
        if not self._start <= offset <= self._start + len(self._data):
            self._file.seek(offset)
            self._start, self._data = offset, b""
        self._data = self._data[offset - self._start :]
        self._start = offset
        parts = [self._data]
        missing = size - len(self._data)
        while missing > 0 and (more := self._file.read(max(missing, self._least))):
            parts.append(more)
            missing -= len(more)
        self._data = b"".join(parts) if len(parts) > 1 else self._data
        return self._data[:size]

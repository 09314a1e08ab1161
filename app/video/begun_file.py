"""Read a file that can only be read once, such as a live stream over HTTP."""

from .declared_index import FIRST_BOXES, MAX_TRACKS, MAX_UNCOUNTED_TRACKS, Index
from .errors import VideoError
from .file_window import ReadableFile

MAX_BEGINNING = 16 * 2**20
"""Bytes before the first pictures of a file that can only be read once. FFmpeg itself needs up to 5 MB."""


class BegunFile:
    """A file that can only be read once, of which the beginning was read to recognise its container.

    Until `is_open` is set, at most MAX_BEGINNING bytes are read if it is no mp4, because what it lists cannot
    be counted.
    """

    def __init__(self, file: ReadableFile, name: str) -> None:
        self.is_open = False
        self._file = file
        self._name = name
        self._head = b""
        self._bytes = 0
        self._is_mp4 = False

    def index(self) -> Index:
        """Return how much of an index FFmpeg may build. Call it before the first read."""
        while len(self._head) < 12 and (more := self._file.read(12 - len(self._head))):
            self._head += more
        self._is_mp4 = is_mp4 = self._head[4:8] in FIRST_BOXES
        return Index(is_mp4=is_mp4, tracks=MAX_UNCOUNTED_TRACKS if is_mp4 else MAX_TRACKS)

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, `b""` at the end. Raises VideoError if opening needs too many."""
        head, self._head = self._head[:size], self._head[size:]
        data = head or self._file.read(size)
        self._bytes += len(data)
        if self._bytes > MAX_BEGINNING and not (self.is_open or self._is_mp4):
            raise VideoError(
                f"{self._name} has more than {MAX_BEGINNING >> 20} MiB before its first pictures:"
                " copy the file below the media root",
                retryable=False,
            )
        return data

"""Read the JPEG pictures of a camera over HTTP: MJPEG, which is one response without an end."""

import re
from collections.abc import Iterator

from ..errors import VideoError
from .http_file import HttpFile

MAX_PICTURE = 64 * 2**20
"""Bytes of one JPEG picture: more than the largest picture that is supported takes."""

_READ = 64 * 1024  # bytes
_START = b"\xff\xd8\xff"
_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # the next one after entropy-coded data
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA


def mjpeg_part(picture: bytes) -> bytes:
    """Return a picture as the part of a multipart response that FFmpeg's `mpjpeg` format reads."""
    head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture + b"\r\n"


class JpegStream:
    """The pictures of an MJPEG response, for PyAV to read as `mpjpeg`. Not thread safe.

    Only the pictures themselves tell where they begin and end. Cameras send parts without a boundary, with a
    wrong type or a wrong length, and FFmpeg waits for ever for what such a head promises.
    """

    def __init__(self, file: HttpFile) -> None:
        self._file = file
        self._splitter = JpegSplitter()
        self._unread = bytearray()
        self._has_pictures = False

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; `b""` at the end, or after the file's fault."""
        while not self._unread:
            data = self._file.read(_READ)
            if not data:
                self._explain()
                return b""
            try:
                for picture in self._splitter.push(data):
                    self._unread += mjpeg_part(picture)
            except ValueError:
                self._file.fault = VideoError(
                    f"{self._file.name} sends a picture of more than {MAX_PICTURE >> 20} MiB", retryable=False
                )
                return b""
            self._has_pictures = self._has_pictures or bool(self._unread)
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    def _explain(self) -> None:
        if self._file.tell() and not self._has_pictures:
            self._file.fault = VideoError(f"{self._file.name} sends no JPEG pictures", retryable=True)


class JpegSplitter:
    """Finds the JPEG pictures in a stream of bytes, with anything between them. Takes linear time."""

    def __init__(self) -> None:
        self._data = bytearray()  # from the beginning of the present picture on, if `_at` is not 0
        self._at = 0  # from where the next marker is looked for; 0 between two pictures
        self._is_coded = False  # whether entropy-coded data may come before that marker
        self._is_whole = False

    def push(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes; yield the pictures that are whole. Raises ValueError if one is too long."""
        self._data += data
        while self._find_start() and self._find_end():
            if self._is_whole:
                yield bytes(self._data[: self._at])
            del self._data[: self._at]
            self._at = 0
        if len(self._data) > MAX_PICTURE:
            raise ValueError("a picture is too long")

    def _find_start(self) -> bool:
        """Return whether a picture has begun."""
        if self._at == 0:
            start = self._data.find(_START)
            if start < 0:
                del self._data[: -len(_START) + 1]
                return False
            del self._data[:start]
            self._at, self._is_coded = 2, False
        return True

    def _find_end(self) -> bool:
        """Return whether `_at` is where the picture ends, or is cut off; if not, more data is needed."""
        data = self._data
        while found := (_MARKER.search if self._is_coded else _MARKER.match)(data, self._at):
            kind = data[found.end() - 1]
            self._is_whole = kind == _EOI
            if kind in (_SOI, _EOI):
                self._at = found.end() if self._is_whole else found.start()
                return True
            if len(data) < found.end() + 2:
                return False
            end = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
            if len(data) < end:
                return False
            self._at, self._is_coded = end, kind == _SOS
        self._is_whole = False
        is_cut_off = not self._is_coded and len(data) > self._at and data[self._at :].strip(b"\xff") != b""
        if not is_cut_off:  # all that was searched may be left out, except the beginning of a marker
            self._at = max(self._at, len(data) - data.endswith(b"\xff"))
        return is_cut_off

"""Find the JPEG pictures in a stream of bytes by their own markers."""

import re
from collections.abc import Iterator

MAX_PICTURE = 64 * 2**20
"""Bytes of one JPEG picture: more than the largest picture that is supported takes."""

JPEG_START = b"\xff\xd8\xff"

_MARKER = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # the next one after entropy-coded data
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA


class JpegSplitter:
    """Finds the JPEG pictures in a stream of bytes, with anything between them. Takes linear time."""

    def __init__(self) -> None:
        self._data = bytearray()  # from the beginning of the present picture on, if `_at` is not 0
        self._at = 0  # from where the next marker is looked for; 0 between two pictures
        self._is_coded = False  # whether entropy-coded data may come before that marker
        self._is_whole = False

    @property
    def has_begun(self) -> bool:
        """Whether a picture has begun that is not whole yet."""
        return self._at > 0

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
            start = self._data.find(JPEG_START)
            if start < 0:
                del self._data[: -len(JPEG_START) + 1]
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

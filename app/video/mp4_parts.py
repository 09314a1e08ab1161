"""What the boxes of an mp4 tell of the whole file."""

import re

from .errors import VideoError
from .file_window import FileWindow

_MAX_ITEMS = 2**20  # bytes that are looked at
_PRIMARY = re.compile(rb"pitm\0.{3}(..)", re.DOTALL)  # its number
_GRID = re.compile(rb"infe\x02.{3}(..)..grid", re.DOTALL)


class Mp4Parts:
    """Notes the boxes of an mp4 that say whether it is more than one recording, or a picture.

    A header alone is none: streams repeat it before their fragments, and tools leave an older one behind.
    """

    def __init__(self, file: FileWindow) -> None:
        self._file = file
        self._headers: list[tuple[int, int]] = []  # where each begins and ends
        self._media = 0
        self._items: tuple[int, int] | None = None

    def note(self, kind: bytes, start: int, end: int) -> None:
        """Note a box, whose content begins and ends at these places."""
        if kind == b"moov":
            self._headers.append((start, end))
        elif kind == b"mdat" and end > start:
            self._media += 1
        elif kind == b"meta":
            self._items = (start, end)

    @property
    def has_header(self) -> bool:
        """Whether there is any header."""
        return bool(self._headers)

    @property
    def repeats_header(self) -> bool:
        """Whether there are several: if times begin anew, another recording follows."""
        return len(self._headers) > 1

    def is_followed(self, *, has_fragments: bool) -> bool:
        """Return whether another recording follows, as far as the boxes tell."""
        if not has_fragments:
            return self.repeats_header and self._media > 1
        (first, *others) = self._headers or [(0, 0)]
        length = first[1] - first[0]
        content = self._file.read(first[0], length) if others else b""
        return any(
            end - start != length or self._file.read(start, length) != content for start, end in others
        )

    def refuse_tiles(self, name: str) -> None:
        """Raise VideoError if it is one picture in tiles, which FFmpeg takes for tracks (ISO 23008-12)."""
        if self.has_header or self._items is None:
            return
        start, end = self._items
        items = self._file.read(start, min(end - start, _MAX_ITEMS))
        if (primary := _PRIMARY.search(items)) and primary[1] in _GRID.findall(items):
            raise VideoError(
                f"{name} is one picture in tiles, as phones write HEIC, which is not supported: convert it to"
                " JPEG or PNG",
                retryable=False,
            )

"""Tell whether another recording was appended to a file, which FFmpeg does not read."""

import re

from .file_window import FileWindow, ReadableFile

_BEGINNINGS = {  # of files, by FFmpeg's name of the format
    "flv": rb"FLV\x01[\0\x01\x04\x05]\0\0\0\x09",
    "asf": re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    "ivf": rb"DKIF\0\0\x20\0",
    "wtv": re.escape(bytes.fromhex("b7d800203749da11a64e0007e95ead8d")),
}
_BEFORE, _BEHIND = 64, 2**20  # bytes around the last picture in which another recording is looked for


def is_followed(file: ReadableFile, format: str, last: int) -> bool:  # noqa: A002 - FFmpeg's word
    """Return whether another recording follows the picture at the place `last`, the last one that was read.

    Of an mp4, its index tells. The position in the file is changed. Raises OSError.
    """
    beginning = _BEGINNINGS.get(format)
    if beginning is None:
        return False
    file.seek(max(last - _BEFORE, 1))
    data = b""
    while len(data) < _BEHIND and (more := file.read(_BEHIND - len(data))):
        data += more
    return re.search(beginning, data) is not None


class Mp4Parts:
    """Notes the boxes of an mp4 that say whether it is more than one recording.

    A header alone is none: streams repeat it before their fragments, and tools leave an older one behind.
    """

    def __init__(self, file: FileWindow) -> None:
        self._file = file
        self._headers: list[tuple[int, int]] = []  # where each begins and ends
        self._media = 0

    def note(self, kind: bytes, start: int, end: int) -> None:
        """Note a box, whose content begins and ends at these places."""
        if kind == b"moov":
            self._headers.append((start, end))
        elif kind == b"mdat" and end > start:
            self._media += 1

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

"""Leave out the segments of a live playlist that were read before the connection was lost."""

from urllib.parse import urljoin

from ..errors import VideoError
from .m3u8 import MAP, split_lines

_OF_A_SEGMENT = (
    b"#EXTINF", b"#EXT-X-BYTERANGE", b"#EXT-X-PROGRAM-DATE-TIME", b"#EXT-X-DISCONTINUITY", b"#EXT-X-GAP",
    b"#EXT-X-PART:", MAP,
)  # fmt: skip
_OF_THE_LIST = b"#EXT-X-DISCONTINUITY-SEQUENCE"
_NUMBER = b"#EXT-X-MEDIA-SEQUENCE:"
_MOST_LISTED = 1000  # segments, the newest: FFmpeg begins with the last three


class ReadSegments:
    """Which segment was read last, over all connections to one source.

    FFmpeg begins each connection with the last three segments: if no new ones come, because the camera or the
    program that makes them has stopped, it would show the same footage again and again.
    """

    def __init__(self) -> None:
        self._listed: frozenset[str] = frozenset()
        self._open = self._last = ""

    def reconnect(self) -> None:
        """Note that the connection was lost: the segment that was being read is not whole."""
        self._open = ""

    def note_opened(self, address: str) -> None:
        """Note that a file is opened, so that the one before it was read."""
        self._last = self._open or self._last
        self._open = address if address in self._listed else ""

    def note_listed(self, text: bytes, address: str) -> None:
        """Note the segments in the newest text of the playlist at `address`."""
        segments = [line for line in split_lines(text) if line and line[:1] != b"#"]
        self._listed = frozenset(_join(address, line) for line in segments[-_MOST_LISTED:])

    def without_read(self, text: bytes, address: str, name: str) -> bytes:
        """Return the text without the segments that were read, and those before them.

        Raises:
            VideoError: there are no others. `name` stands for the playlist.
        """
        lines = split_lines(text)
        places = [place for place, line in enumerate(lines) if line and line[:1] != b"#"]
        read = [place for place in places if _join(address, lines[place]) == self._last]
        if len(read) != 1:  # parts of one file have one address
            return text
        if read[0] == places[-1]:
            raise VideoError(
                f"{name} has no new segment: what makes it may have stopped, or it is a recording without"
                " #EXT-X-ENDLIST",
                retryable=True,
            )
        before, after = lines[: read[0]], lines[read[0] + 1 :]
        kept = [line for line in before if line[:1] == b"#" and not _is_of_a_segment(line)]
        numbered = [_later(line, places.index(read[0]) + 1) for line in kept]
        maps = [line for line in before if line.startswith(MAP)]
        return b"\n".join([*numbered, *maps[-1:], *after])


def _is_of_a_segment(line: bytes) -> bool:
    return line.startswith(_OF_A_SEGMENT) and not line.startswith(_OF_THE_LIST)


def _later(line: bytes, count: int) -> bytes:
    """Return the line, with `count` added if it is the number of the first segment."""
    number = line.removeprefix(_NUMBER).strip()
    is_number = line.startswith(_NUMBER) and number.isdigit() and len(number) < 19
    return _NUMBER + str(int(number) + count).encode() if is_number else line


def _join(base: str, line: bytes) -> str:
    try:
        return urljoin(base, line.decode("latin-1"))
    except ValueError:
        return ""

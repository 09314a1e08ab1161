"""Check how much a Matroska or WebM file lists, before FFmpeg keeps all of it in memory.

FFmpeg takes up to 33 bytes for each byte of such a list (measured), and compares each named tag with all
others.
"""

from collections.abc import Iterator

from .errors import VideoError
from .file_window import FileWindow

MAX_LISTED = 8 * 2**20
"""Bytes of all lists: tracks, index, tags, chapters and attachments. An index of 24 hours takes 2 MiB."""

MAX_TAGS = 256 * 1024
"""Bytes of tags: some thousand of them. FFmpeg needs seconds for as many names."""

_EBML, _SEGMENT, _CLUSTER, _VOID, _TAGS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xEC, 0x1254C367
_SEEK_HEAD, _SEEK_POSITION = 0x114D9B74, b"\x53\xac"
_LISTS = frozenset([_SEEK_HEAD, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, _TAGS, 0x1941A469, 0x1043A770])
_MAX_POSITIONS = 1000  # FFmpeg follows 64


def check_lists(file: FileWindow, size: int, name: str) -> None:
    """Raise VideoError if FFmpeg would take too much memory or time for what a Matroska file lists.

    `size` is that of the file in bytes, `name` stands for it in messages. Other containers are not checked.
    """
    if file.read(0, 4) != _EBML.to_bytes(4):
        return
    lists = _Lists(file, size)
    lists.add_all()
    for listed, most, what in (
        (lists.tags, MAX_TAGS, "tags"),
        (lists.total, MAX_LISTED, "tracks, index, tags, chapters and attachments"),
    ):
        if listed > most:
            raise VideoError(
                f"{name} has more than {most >> 10:,} KiB of {what}: copy the video with ffmpeg -i … -map 0:v"
                " -map_metadata -1 -map_chapters -1 -c copy",
                retryable=False,
            )


class _Lists:
    """Adds up the bytes of the lists before the first cluster, and of those that the file names elsewhere.

    FFmpeg skips lists behind the first cluster that are not named. If an element before it is damaged, FFmpeg
    searches for the next list, so all bytes up to a cluster count.
    """

    def __init__(self, file: FileWindow, size: int) -> None:
        self._file = file
        self._size = size
        self._seen: set[int] = set()
        self._positions: set[int] = set()
        self.total = self.tags = 0

    def add_all(self) -> None:
        """Visit the lists, until they are too large."""
        start = 0
        for identifier, _, content, end in self._elements(0):
            if identifier == _SEGMENT:
                start = content
                break
            self.total += end - content
        self._add_before_cluster(start)
        for position in self._positions:
            for identifier, place, content, end in self._elements(start + position):
                if identifier in _LISTS and place not in self._seen:
                    self._add(identifier, end - content)
                break

    def _add(self, identifier: int, size: int) -> None:
        if identifier != _VOID:
            self.total += size
        if identifier == _TAGS:
            self.tags += size

    def _add_before_cluster(self, start: int) -> None:
        place = start
        for identifier, begin, content, end in self._elements(start):
            if identifier == _CLUSTER:
                return
            self._seen.add(begin)
            self._add(identifier, end - content)
            if identifier == _SEEK_HEAD and end - content <= MAX_LISTED:
                self._positions |= set(self._named_in(self._file.read(content, end - content)))
            if self.total > MAX_LISTED:
                return
            place = end
        damaged = self._file.read(place, MAX_LISTED + 1)
        found = damaged.find(_CLUSTER.to_bytes(4))
        self.total += len(damaged) if found < 0 else found
        if _TAGS.to_bytes(4) in damaged[: found if found >= 0 else None]:
            self.tags += len(damaged) if found < 0 else found

    def _named_in(self, seek_head: bytes) -> Iterator[int]:
        """Yield the positions that an index of lists contains."""
        place = seek_head.find(_SEEK_POSITION)
        for _ in range(_MAX_POSITIONS):
            if place < 0 or place + 2 >= len(seek_head):
                return
            length_width = 9 - seek_head[place + 2].bit_length()
            begin = place + 2 + length_width
            length = int.from_bytes(seek_head[place + 2 : begin]) & (1 << 7 * length_width) - 1
            yield int.from_bytes(seek_head[begin : begin + min(length, 8)])
            place = seek_head.find(_SEEK_POSITION, place + 2)

    def _elements(self, place: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield each element from `place` on: its identifier, and where it, its content and its end are."""
        while place < self._size:
            head = self._file.read(place, 12)
            width = 9 - head[0].bit_length() if head else 9
            if width > 4 or len(head) <= width:
                return
            length_width = 9 - head[width].bit_length()
            if length_width > 8 or len(head) < width + length_width:
                return
            data = int.from_bytes(head[width : width + length_width]) & (1 << 7 * length_width) - 1
            content = place + width + length_width
            is_open = data == (1 << 7 * length_width) - 1
            end = self._size if is_open else min(content + data, self._size)
            yield int.from_bytes(head[:width]), place, content, end
            place = end

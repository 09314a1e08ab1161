"""Check how much a Matroska or WebM file lists, before FFmpeg keeps all of it in memory.

FFmpeg takes up to 33 bytes for each byte of such a list (measured), and compares each named tag with all
others. An index and attachments may be longer, because it takes less for their bytes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from .errors import VideoError
from .file_window import FileWindow

MAX_LISTED = 8 * 2**20
"""Bytes of all lists: tracks, tags, chapters and attachments without their content, and so on."""

MAX_TAGS = 256 * 1024
"""Bytes of tags: some thousand of them. FFmpeg needs seconds for as many names."""

MAX_ATTACHED = 64 * 2**20
"""Bytes of the content of attachments, such as fonts. FFmpeg takes four for each (measured)."""

MAX_POINTS = 2_000_000
"""Entries of an index of more than MAX_LISTED bytes: 18 hours at 30 frames/s if every picture has one.

FFmpeg takes up to 112 bytes for each (measured).
"""

_EBML, _SEGMENT, _CLUSTER, _VOID, _TAGS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0xEC, 0x1254C367
_SEEK_HEAD, _SEEK_POSITION = 0x114D9B74, b"\x53\xac"
_INFO, _DURATION, _MAX_INFO = 0x1549A966, b"\x44\x89", 4096
_INDEX, _POINT, _POSITION = 0x1C53BB6B, b"\xbb", b"\xb7"
_ATTACHMENTS, _ATTACHMENT, _CONTENT = 0x1941A469, 0x61A7, 0x465C
_TRACKS, _TRACK, _TRACK_TYPE, _SOUND_OR_TEXT = 0x1654AE6B, 0xAE, 0x83, (b"\x02", b"\x11")
_LISTS = frozenset([_SEEK_HEAD, _INFO, _TRACKS, _INDEX, _TAGS, _ATTACHMENTS, 0x1043A770])
_MAX_POSITIONS = 1000  # FFmpeg follows 64
_MAX_ELEMENTS, _MAX_PARTS = 1000, 20  # lists in a file and attachments in a list; parts of an attachment
_MAX_INDEX, _PART = 64 * 2**20, 2**20  # bytes of an index: the most, and what is read at once
_COPY = "copy the video with ffmpeg -i … -map 0:v -map_metadata -1 -map_chapters -1 -c copy"


class MatroskaFacts(NamedTuple):
    """What the lists tell: if the file tells how long it is, and its tracks; `others` are sound and text.

    `memory` is how many bytes FFmpeg may take for them.
    """

    has_duration: bool = True
    videos: int = 0
    others: int = 0
    memory: int = 0


def check_lists(file: FileWindow, size: int, name: str) -> MatroskaFacts:
    """Return what the lists of a Matroska file tell. Other files are not checked.

    `size` is that of the file in bytes, `name` stands for it in messages.

    Raises:
        VideoError: FFmpeg would take too much memory or time for what the file lists.
    """
    if file.read(0, 4) != _EBML.to_bytes(4):
        return MatroskaFacts()
    lists = _Lists(file, size)
    lists.add_all()
    points = lists.count_points()
    for listed, most, what, advice in (
        (lists.tags, MAX_TAGS, f"{MAX_TAGS >> 10} KiB of tags", _COPY),
        (lists.total, MAX_LISTED, f"{MAX_LISTED >> 20} MiB of tracks, tags and chapters", _COPY),
        (lists.attached, MAX_ATTACHED, f"{MAX_ATTACHED >> 20} MiB of attachments", _COPY),
        (points, MAX_POINTS, f"{MAX_POINTS:,} entries in its index", "cut the recording into shorter ones"),
    ):
        if listed > most:
            raise VideoError(f"{name} has more than {what}: {advice}", retryable=False)
    others = 0 if lists.is_damaged else lists.others  # other tracks may follow the damage
    memory = 36 * lists.total + 4 * lists.attached + 112 * points
    return MatroskaFacts(lists.has_duration, lists.videos, others, memory)


class _Lists:
    """Adds up the bytes of the lists before the first cluster, and of those that the file names elsewhere.

    FFmpeg skips lists behind the first cluster that are not named. If an element before it is damaged, FFmpeg
    searches for the next list, so all bytes up to a cluster count. The bytes of the index and the content of
    attachments do not belong to the `total`.
    """

    def __init__(self, file: FileWindow, size: int) -> None:
        self._file = file
        self._size = size
        self._seen: set[int] = set()
        self._positions: set[int] = set()
        self._indexes: list[tuple[int, int]] = []  # where each begins and ends
        self.total = self.tags = self.attached = self.videos = self.others = 0
        self.has_duration = self.is_damaged = False

    def add_all(self) -> None:
        """Visit the lists, until they are too large."""
        start = 0
        for identifier, _, content, end in self._elements(0, self._size):
            if identifier == _SEGMENT:
                start = content
                break
            self.total += end - content
        self._add_before_cluster(start)
        for position in self._positions:
            for identifier, place, content, end in self._elements(start + position, self._size):
                if identifier in _LISTS and place not in self._seen:
                    self._add(identifier, content, end)
                break

    def count_points(self) -> int:
        """Return how many entries the index has at most: 0 if it is small, one more than allowed if huge."""
        size = sum(end - content for content, end in self._indexes)
        if not MAX_LISTED < size <= _MAX_INDEX:
            return 0 if size <= MAX_LISTED else MAX_POINTS + 1
        points = positions = 0
        for content, end in self._indexes:
            for place in range(content, end, _PART):
                data = self._file.read(place, min(_PART, end - place))
                points += data.count(_POINT)
                positions += data.count(_POSITION)
        return max(points, positions)

    def _add(self, identifier: int, content: int, end: int) -> None:
        size = end - content
        if identifier == _INDEX:
            self._indexes.append((content, end))
        elif identifier == _ATTACHMENTS:
            attached = sum(self._attached_in(content, end))
            self.attached += attached
            self.total += size - attached
        elif identifier != _VOID:
            self.total += size
        if identifier == _TAGS:
            self.tags += size
        elif identifier == _TRACKS:
            self._add_tracks(content, end)
        elif identifier == _INFO:
            self.has_duration = _DURATION in self._file.read(content, min(size, _MAX_INFO))

    def _add_tracks(self, start: int, end: int) -> None:
        for identifier, _, content, content_end in self._elements(start, end):
            if identifier == _TRACK:
                types = [
                    self._file.read(data, data_end - data)
                    for part, _, data, data_end in self._elements(content, content_end, _MAX_PARTS)
                    if part == _TRACK_TYPE and data_end - data <= 8
                ]
                is_other = len(types) == 1 and types[0] in _SOUND_OR_TEXT
                self.others += is_other
                self.videos += not is_other

    def _attached_in(self, start: int, end: int) -> Iterator[int]:
        """Yield the size of each attachment's content in bytes."""
        for identifier, _, content, content_end in self._elements(start, end):
            if identifier == _ATTACHMENT:
                for part, _, data, data_end in self._elements(content, content_end, _MAX_PARTS):
                    if part == _CONTENT:
                        yield data_end - data

    def _add_before_cluster(self, start: int) -> None:
        place = start
        for identifier, begin, content, end in self._elements(start, self._size):
            if identifier == _CLUSTER:
                return
            self._seen.add(begin)
            self._add(identifier, content, end)
            if identifier == _SEEK_HEAD and end - content <= MAX_LISTED:
                self._positions |= set(self._named_in(self._file.read(content, end - content)))
            if self.total > MAX_LISTED:
                return
            place = end
        self.is_damaged = True
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

    def _elements(
        self, place: int, last: int, most: int = _MAX_ELEMENTS
    ) -> Iterator[tuple[int, int, int, int]]:
        """Yield the first elements between two places: the identifier, start, content and end of each."""
        for _ in range(most):
            if place >= last:
                return
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
            end = last if is_open else min(content + data, last)
            yield int.from_bytes(head[:width]), place, content, end
            place = end

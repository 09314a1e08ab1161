"""Count the entries that FFmpeg makes of an AVI's index, before it makes them.

One entry of sound may stand for half a million: FFmpeg divides it if it is the only one of its track. An AVI
of 2 KB with 19 such tracks made it allocate 213 MiB.
"""

from collections.abc import Iterator
from typing import NamedTuple

from .file_window import FileWindow

_BYTES_PER_ENTRY = 26  # that FFmpeg takes (measured)
_DIVIDED = 2**29 // 1024
"""The most entries into which FFmpeg divides one: of 512 MiB, in parts of 1 KiB."""

_MOST_PER_TRACK = 160 * 2**20  # bytes: FFmpeg's limit on one allocation
_HEAD = 8  # bytes before the content of a chunk
_MAX_CHUNKS, _MAX_LISTS = 1000, 1000  # in a row; that one index names
_LARGEST = 1_000_000  # bytes of a chunk of the header: FFmpeg ends the header if a larger one is unknown
_BEGINNING = 2**20  # bytes in which the tracks of an unusual header are searched for
_SMALLEST = {b"avih": 40, b"amvh": 40, b"strh": 48, b"strf": 16, b"strd": 0, b"indx": 24, b"vprp": 0}
"""The bytes that each must have at least. FFmpeg does not agree with itself on what follows an odd number."""

_SUBTITLES = (b"DXSB", b"DXSA")


class AviEntries(NamedTuple):
    """`number`: how many entries FFmpeg makes at most, or None if the file is unusual; `memory`: their bytes.

    `tracks` is the most that may be opened, or None if that does not matter.
    """

    number: int | None = 0
    memory: int = 0
    tracks: int | None = None


def count_entries(file: FileWindow, size: int) -> AviEntries:
    """Return how many entries FFmpeg makes of the index of an AVI of `size` bytes; none of other files."""
    if file.read(0, 4) not in (b"RIFF", b"ON2 "):
        return AviEntries()
    avi = _Avi(file, size)
    most = size * 3 // 16  # FFmpeg reads a list of 8 bytes for each entry once, and then one of 16
    try:
        count = min(avi.count(), most) + avi.sounds * _DIVIDED
    except _UnusualError:
        tracks = max(file.read(0, _BEGINNING).count(b"strh"), 1)
        memory = min(most * _BYTES_PER_ENTRY, tracks * _MOST_PER_TRACK)
        return AviEntries(None, memory + tracks * _DIVIDED * _BYTES_PER_ENTRY, tracks)
    return AviEntries(count, count * _BYTES_PER_ENTRY)


class _Chunk(NamedTuple):
    name: bytes
    content: int
    size: int

    @property
    def end(self) -> int:
        return self.content + self.size


class _UnusualError(Exception):
    """The file is not built as an AVI should be, so that FFmpeg may see other chunks in it."""


class _Avi:
    """Follows the chunks as FFmpeg does. `sounds` are the tracks of which one entry may be divided."""

    def __init__(self, file: FileWindow, size: int) -> None:
        self._file = file
        self._size = size
        self._indexes: list[_Chunk] = []
        self.sounds = 0

    def count(self) -> int:
        """Return how many entries all indexes have. Raises _UnusualError if they cannot be counted."""
        end = self._read_header()
        behind = (chunk for chunk in self._chunks(end, enters_lists=False) if chunk.name == b"idx1")
        old = sum(max(min(chunk.end, self._size) - chunk.content, 0) // 16 for chunk in behind)
        return old + sum(map(self._count_listed, self._indexes))

    def _read_header(self) -> int:
        """Note the tracks and indexes of the header, and return where the pictures end."""
        list_end, kind, in_values = self._size, b"", 0
        for chunk in self._chunks(12, enters_lists=True):
            is_value = chunk.content <= in_values
            if is_value and (chunk.end > in_values or chunk.name in (b"LIST", *_SMALLEST)):
                raise _UnusualError
            if chunk.name == b"LIST":
                list_end = chunk.end
                match self._file.read(chunk.content, 4):
                    case b"movi":
                        return chunk.end + chunk.size % 2 if chunk.size else self._size
                    case b"INFO":
                        in_values = chunk.end
                    case b"ncdt":  # the values of a camera, which have lengths of their own
                        raise _UnusualError
            elif chunk.size > _LARGEST:
                raise _UnusualError
            elif chunk.name in _SMALLEST:
                is_cut = chunk.size < _SMALLEST[chunk.name] or chunk.end > list_end
                if is_cut or chunk.size % 2:
                    raise _UnusualError
                if chunk.name == b"strh":
                    kind = self._file.read(chunk.content, 4)
                    self.sounds += self._file.read(chunk.content + 44, 4) != bytes(4)
                elif chunk.name == b"indx":
                    self._indexes.append(chunk)
                elif chunk.name == b"strf" and kind != b"auds":
                    is_subtitle = self._file.read(chunk.content + 16, 4) in _SUBTITLES
                    if chunk.size < 40 or is_subtitle:
                        raise _UnusualError
        return self._size

    def _count_listed(self, index: _Chunk) -> int:
        """Return how many entries an index has, or those that it names."""
        is_list, count = self._index_head(index.content)
        if is_list:
            return count
        if count > min((index.size - 24) // 16, _MAX_LISTS):
            raise _UnusualError
        places = self._file.read(index.content + 24, 16 * count)
        total = 0
        for start in range(0, len(places) - 15, 16):
            place = int.from_bytes(places[start : start + 8], "little")
            is_list, listed = self._index_head(place + _HEAD)
            if listed and not is_list:
                raise _UnusualError
            total += listed
        return total

    def _index_head(self, place: int) -> tuple[bool, int]:
        """Return whether an index lists pictures instead of indexes, and its entries, 0 behind the end."""
        head = self._file.read(place, 8) if place < self._size else b""
        if len(head) < 8:
            return True, 0
        return head[3] != 0, int.from_bytes(head[4:8], "little")

    def _chunks(self, place: int, *, enters_lists: bool) -> Iterator[_Chunk]:
        """Yield the chunks from a place on. Raises _UnusualError if there are very many."""
        for _ in range(_MAX_CHUNKS):
            head = self._file.read(place, _HEAD) if place < self._size else b""
            if len(head) < _HEAD:
                return
            chunk = _Chunk(head[:4], place + _HEAD, int.from_bytes(head[4:], "little"))
            yield chunk
            is_entered = enters_lists and chunk.name == b"LIST"
            place = chunk.content + 4 if is_entered else chunk.end + chunk.size % 2
        raise _UnusualError

"""Check how many samples a container declares, before FFmpeg builds an index of them in memory.

FFmpeg limits each allocation, but not their sum: an mp4 of 5 KB with ten tracks of 6.6 million samples made
it allocate 2.3 GiB. Of Matroska, the bytes of the lists are counted, and of AVI, the entries of the index.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np
from msgspec import Struct, field

from . import encryption_lists
from .avi_lists import count_entries
from .errors import VideoError
from .file_window import FileWindow, ReadableFile
from .matroska_lists import check_lists
from .mp4_parts import Mp4Parts
from .unfinished import is_unfinished

MAX_SAMPLES = 12_000_000
"""Of all tracks of an mp4 or AVI: 24 hours at 60 frames/s with sound.

FFmpeg takes 36 bytes for each of an mp4 (measured).
"""

MAX_TRACKS = 20
"""Tracks of video, or tracks of any kind in a file whose tracks are not counted before it is opened."""

MAX_ALL_TRACKS = 200
"""Tracks of every kind, where they are counted: some films have 60 with subtitles."""

MAX_UNCOUNTED_TRACKS = 3
"""Tracks whose samples are not counted: FFmpeg takes up to 300 MiB for each (measured)."""

_MAX_HEADER = 64 * 2**20  # bytes of an mp4's header beside its tables
_MAX_DEPTH = 8  # FFmpeg's is 10
_MAX_BOXES = 1_000_000  # in one place: fragments of a second in 5 days
_WINDOW, _REMOTE_WINDOW = 4 * 1024, 64 * 1024  # bytes to read at once: over HTTP each seek is a request
# Those by which FFmpeg recognises an mp4, and those with which parts of one begin.
FIRST_BOXES = frozenset([
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"udta", b"uuid", b"prfl", b"PICT",
    b"junk", b"styp", b"moof", b"sidx",
])  # fmt: skip
_CONTAINERS = frozenset([b"mdia", b"minf", b"stbl", b"edts"])
_TABLES = frozenset(
    [b"stts", b"ctts", b"stss", b"stco", b"co64", b"stsc", b"stsz", b"stz2", b"sdtp", b"sbgp"]
)
_OF_FRAGMENTS = (b"trun", *encryption_lists.KINDS)
_SEARCHED = (*sorted(_TABLES), b"elst", b"hdlr", *_OF_FRAGMENTS)
_BOX_NAMES = re.compile(b"|".join([*_SEARCHED, b"trak", b"mvex", b"cmvd"]))
_SHORT = 4096  # bytes in which one expression finds sooner that there is no name than a search for each
_MOST_ENTRIES = 160 * 2**20 // 24  # FFmpeg cannot allocate memory for more. Text is a larger number
_MAX_EDITS = 1000  # entries of an edit list that are looked at
_LEAST = encryption_lists.MOST_BYTES
_NEEDED = {b"stsc": _MAX_HEADER, b"elst": 8 + 20 * _MAX_EDITS, b"saiz": _LEAST}
"""Bytes that are looked at behind the name of a box, if more than 16.

Those of each count as searched, because names may be repeated all over a file.
"""

_PER_BOX = 64  # bytes that each of them counts at least
_BYTES_PER_ENTRY, _WITH_EDITS = 40, 64  # that FFmpeg takes (measured: 36 and 61)
_SAMPLES_PER_ENTRY = 160  # the fewest samples of plain sound that FFmpeg combines into one entry


class Index(Struct, frozen=True):
    """How much of an index FFmpeg may build: of at most `tracks` tracks, and of an mp4 only if `is_mp4`.

    `has_fragments`: the file is an mp4 whose index is spread over it. `lacks_header`: it is an mp4 without
    one, as if it was cut off. `has_length` is false if the file does not tell how long it is, because its
    recorder never wrote that. `is_followed`: another recording follows in an mp4; `repeats_header`: one does
    if times begin anew. `memory`: bytes that FFmpeg may take for it, as far as it was counted.
    """

    is_mp4: bool
    tracks: int = MAX_TRACKS
    has_fragments: bool = False
    lacks_header: bool = False
    has_length: bool = True
    is_followed: bool = False
    repeats_header: bool = False
    memory: int = 0


def check_index(file: ReadableFile, size: int, name: str, *, is_remote: bool = False) -> Index:
    """Return how much of an index FFmpeg may build; the position is 0 afterwards.

    `size` is that of the file in bytes, `name` stands for it in messages. If `is_remote`, the fragments of an
    mp4 are not visited, because each would take a request.

    Raises:
        VideoError: the index would take too much memory.
    """
    window = FileWindow(file, _REMOTE_WINDOW if is_remote else _WINDOW)
    head = window.read(0, 12)
    try:
        if head[4:8] in FIRST_BOXES:
            boxes = _Mp4(window, size, name)
            tracks = boxes.check(is_remote=is_remote)
            boxes.parts.refuse_tiles(name)
            return Index(
                is_mp4=True,
                tracks=tracks,
                has_fragments=boxes.has_fragments,
                lacks_header=not boxes.parts.has_header,
                is_followed=boxes.parts.is_followed(has_fragments=boxes.has_fragments),
                repeats_header=boxes.parts.repeats_header,
                memory=boxes.memory,
            )
        has_duration, videos, others, memory = check_lists(window, size, name)
        has_length = has_duration and not is_unfinished(window, size)
        entries = count_entries(window, size)
        _check_samples(entries.number or 0, name)
        tracks = min(_allowed_tracks(videos, others, name), entries.tracks or MAX_ALL_TRACKS)
        return Index(is_mp4=False, tracks=tracks, has_length=has_length, memory=memory + entries.memory)
    finally:
        file.seek(0)


def _check_samples(samples: int, name: str) -> None:
    if samples > MAX_SAMPLES:
        raise VideoError(
            f"the index of {name} declares {samples:,} samples in all its tracks: at most"
            f" {MAX_SAMPLES:,} are supported; cut the recording into shorter ones",
            retryable=False,
        )


def _allowed_tracks(videos: int, others: int, name: str) -> int:
    """Return how many tracks FFmpeg may open. Raises VideoError if there are more than it may."""
    if videos > MAX_TRACKS or videos + others > MAX_ALL_TRACKS:
        raise VideoError(
            f"{name} has {videos} video tracks and {others} others: at most {MAX_TRACKS} and, all together,"
            f" {MAX_ALL_TRACKS} can be read; copy the video with ffmpeg -i … -map 0:v:0 -c copy",
            retryable=False,
        )
    return max(videos + others, MAX_TRACKS)


class _Track(Struct):
    """What the boxes of one track declare. `edits`: how often the samples are listed."""

    encryption: encryption_lists.EncryptionLists  # of the file
    samples: int = 0
    edits: int = 1
    chunks: int = 0
    chunk_samples: int = 1
    handlers: set[bytes] = field(default_factory=set)
    durations: list[bool] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """How many entries FFmpeg makes. It combines the samples of plain sound, which last a tick each."""
        is_sound = b"soun" in self.handlers and not self.handlers & {b"vide", b"subp", b"clcp"}
        if is_sound and self.durations == [True]:
            return self.chunks * -(-self.chunk_samples // _SAMPLES_PER_ENTRY)
        return self.samples * self.edits

    def add(self, kind: bytes, content: bytes) -> None:
        """Add what a box with this content declares. Of most tables, the beginning is enough."""
        _, first, second, third = struct.unpack(">4I", content[:16].ljust(16, b"\0"))
        match kind:
            case b"stsz" | b"stz2":
                self.samples += second
            case b"trun":
                self.samples += first
            case b"stco" | b"co64":
                self.chunks += first
            case b"stts":
                self.durations.append(first == 1 and third == 1)
            case b"hdlr":
                self.handlers.add(content[8:12])
            case b"stsc":
                if first <= 1:  # the second of the only row
                    most = third if first and len(content) >= 20 else 1
                else:
                    table = np.frombuffer(content[8:], ">u4", count=max(len(content) - 8, 0) // 12 * 3)
                    most = int(table.reshape(-1, 3)[:first, 1].max(initial=1))
                self.chunk_samples = max(self.chunk_samples, most)
            case b"elst":
                self.edits = max(self.edits, _count_edits(content, first))
            case _:
                self.encryption.add(kind, content)


class _Mp4:
    """Adds up what the boxes of an mp4 declare.

    FFmpeg also accepts boxes at odd places. So the bytes of everything but media and plain tables are
    searched for the names of boxes, and each name that is found counts.
    """

    def __init__(self, file: FileWindow, size: int, name: str) -> None:
        self._file = file
        self._size = size
        self._name = name
        self._encryption = encryption_lists.EncryptionLists()
        self._tracks = [_Track(self._encryption)]  # the first has what is in no track
        self._odd_tracks = self._searched = 0
        self._is_fragmented = self._is_packed = False
        self.has_fragments = False
        self.parts = Mp4Parts(file)

    @property
    def memory(self) -> int:
        """How many bytes FFmpeg may take for what is declared."""
        per_entry = (_BYTES_PER_ENTRY if track.edits == 1 else _WITH_EDITS for track in self._tracks)
        encryption = self._encryption.samples * encryption_lists.BYTES_PER_SAMPLE
        return encryption + sum(t.entries * size for t, size in zip(self._tracks, per_entry, strict=True))

    def check(self, *, is_remote: bool) -> int:
        """Return how many tracks FFmpeg may open. Raises VideoError."""
        for kind, start, end in self._boxes(0, self._size):
            self.parts.note(kind, start, end)
            if kind == b"moov":
                self._add_container(start, end, self._tracks[0])
            elif kind == b"moof":
                self._is_fragmented = self.has_fragments = True
                self._add_fragment(start, end)
            elif kind == b"free":
                if b"moov" in self._file.read(start, 16):  # FFmpeg looks for a lost header there
                    self._search(start, end, self._tracks[0])
            elif kind not in (b"mdat", b"ftyp", b"skip", b"wide", b"sidx"):
                self._search(start - 8, end, self._tracks[0])
            _check_samples(sum(track.entries for track in self._tracks), self._name)
            self._encryption.check(self._name)
            if is_remote and self.parts.has_header and self._is_fragmented:
                self.has_fragments = True
                tracks = len(self._tracks) - 1 + self._odd_tracks
                if tracks > MAX_UNCOUNTED_TRACKS:
                    raise VideoError(
                        f"{self._name} is a fragmented mp4 with {tracks} tracks: at most"
                        f" {MAX_UNCOUNTED_TRACKS} can be read over HTTP; copy the file below the media root",
                        retryable=False,
                    )
                return tracks + 1  # a cover picture counts as a track
        if self._is_packed:
            return MAX_UNCOUNTED_TRACKS
        others = sum(bool(track.handlers) and b"vide" not in track.handlers for track in self._tracks[1:])
        return _allowed_tracks(len(self._tracks) - 1 - others, others, self._name)

    def _add_fragment(self, start: int, end: int) -> None:
        if end - start > _MAX_HEADER:
            raise self._size_error()
        self._add_all(_OF_FRAGMENTS, start, self._file.read(start, end - start), self._tracks[0])

    def _add_container(self, start: int, end: int, track: _Track, depth: int = 1) -> None:
        for kind, content, content_end in self._boxes(start, end):
            if kind == b"trak" and depth == 1:
                self._tracks.append(_Track(self._encryption))
                self._add_container(content, content_end, self._tracks[-1], depth + 1)
            elif kind in _CONTAINERS and depth < _MAX_DEPTH:
                self._add_container(content, content_end, track, depth + 1)
            elif kind in _TABLES:
                size = content_end - content
                track.add(kind, self._file.read(content, size if kind == b"stsc" else min(size, 16)))
            else:
                self._search(content - 8, content_end, track)

    def _search(self, start: int, end: int, track: _Track) -> None:
        """Add every box whose name is found in these bytes."""
        self._searched += end - start
        if self._searched > _MAX_HEADER:
            raise self._size_error()
        data = self._file.read(start, end - start)
        if len(data) < _SHORT and _BOX_NAMES.search(data) is None:
            return
        self._odd_tracks += data.count(b"trak")
        self._is_fragmented = self._is_fragmented or b"mvex" in data
        self._is_packed = self._is_packed or b"cmvd" in data
        self._add_all(_SEARCHED, start, data, track)

    def _add_all(self, kinds: tuple[bytes, ...], start: int, data: bytes, track: _Track) -> None:
        """Add every box whose name is found in `data`, which begin at `start` of the file."""
        for kind in kinds:
            place = data.find(kind)
            while place >= 0:
                content = data[place + 4 : place + 4 + _NEEDED.get(kind, 16)]
                if len(content) < _LEAST:  # FFmpeg reads on behind the box
                    content = self._file.read(start + place + 4, _LEAST).ljust(_LEAST, b"\0")
                self._searched += max(len(content), _PER_BOX)
                if self._searched > _MAX_HEADER:
                    raise self._size_error()
                if _is_possible(kind, content):
                    track.add(kind, content)
                place = data.find(kind, place + 4)

    def _size_error(self) -> VideoError:
        return VideoError(
            f"the header of {self._name} is larger than {_MAX_HEADER >> 20} MiB:"
            " copy the video with ffmpeg -i … -map 0:v -c copy",
            retryable=False,
        )

    def _boxes(self, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """Yield the kind of each box from `start` on, and the place where its content begins and ends."""
        for _ in range(_MAX_BOXES):
            head = self._file.read(start, 16)
            if start + 8 > end or len(head) < 8:
                return
            size, content = int.from_bytes(head[:4]), start + 8
            if size == 1:
                size, content = int.from_bytes(head[8:]), start + 16
            elif size == 0:
                size = end - start
            if size < content - start:
                return
            yield head[4:8], content, min(start + size, end)
            start += size
        raise VideoError(
            f"{self._name} has more than {_MAX_BOXES:,} boxes in a row: copy the video with"
            " ffmpeg -i … -map 0:v -c copy",
            retryable=False,
        )


def _is_possible(kind: bytes, content: bytes) -> bool:
    """Return whether these bytes may be the content of a box. Titles, too, have names, as that in "trunk"."""
    if kind in (b"hdlr", *encryption_lists.KINDS):
        return True
    count = content[8:12] if kind in (b"stsz", b"stz2") else content[4:8]
    return int.from_bytes(count) <= _MOST_ENTRIES


def _count_edits(content: bytes, declared: int) -> int:
    """Return how many entries of an edit list name samples. The others are pauses."""
    size, time, time_size = (20, 8, 8) if content[:1] == b"\1" else (12, 4, 4)
    if declared > _MAX_EDITS:
        return declared
    times = (content[place : place + time_size] for place in range(8 + time, 8 + declared * size, size))
    return sum(time != b"\xff" * time_size for time in times)

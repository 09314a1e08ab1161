"""Tell by a file's own headers whether its end is missing."""

from collections.abc import Callable
from functools import partial

from .file_window import ReadableFile
from .nut import NutFrames, has_index
from .unfinished import LIVE_RIFFS

_MAX_BOXES = 500_000  # of an mp4 that are looked at: two a second of a recording of 69 hours
_BOXES = frozenset([b"moof", b"mdat", b"sidx", b"styp", b"emsg", b"prft", b"mfra", b"free", b"uuid", b"moov"])
_MAX_RIFFS = 10_000  # of an AVI: one for each GiB
_SYNCS = b"\x47" * 8  # of MPEG-TS: the first bytes of the last packets
_TS_PACKETS = {188: 188, 192: 188, 204: 204}  # bytes from one packet to the next, and of each packet
_TS_TAIL = 204 * 10  # bytes with enough packets
_TS_SEARCHED = 256 * 1024  # bytes with packets of every track
_OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the longest page (RFC 3533, 6)
_PACK, _END, _TAIL = b"\0\0\1\xba", b"\0\0\1\xb9", 256 * 1024  # of MPEG-PS: codes, and bytes to look at
_NUT_HEAD = 64 * 1024  # bytes in which the main header is
_NUT_TAILS = 256 * 1024, 4 * 2**20, 64 * 2**20  # bytes in which to look for a syncpoint
_MXF_PARTITION = bytes.fromhex("060e2b34020501010d01020101")  # before the kind of a partition
_MXF_RUN_IN = 64 * 1024  # bytes that may be before the header
_GIF_TAIL = 4096


def is_cut_off(file: ReadableFile, size: int, format: str) -> bool:  # noqa: A002 - FFmpeg's word
    """Return whether a file of `size` bytes lacks its end; False if its headers do not tell.

    `format` is FFmpeg's name of it. The position in the file is changed. Raises OSError.
    """
    check = _CHECKS.get(format)
    return check is not None and check(file, size)


def is_scrambled(file: ReadableFile, size: int, track: int, last: int) -> bool:
    """Return whether scrambled pictures of an MPEG-TS follow the one that begins at the place `last`.

    FFmpeg leaves them out, but reads those that are only marked as scrambled. `track` is the number of their
    packets (PID). The position in the file is changed. Raises OSError.
    """
    begin = max(size - _TS_SEARCHED, 0)
    data = _read(file, begin, _TS_SEARCHED)
    for length in _TS_PACKETS:
        for start in range(length):
            if data[start::length][: len(_SYNCS)] == _SYNCS:
                heads = (data[n : n + 4] for n in range(start, len(data) - 3, length) if begin + n > last)
                beginnings = [head for head in heads if head[1] & 0x40 and head[3] & 0xC0]
                return sum(int.from_bytes(head[1:3]) & 0x1FFF == track for head in beginnings) > 1
    return False


def _mp4(file: ReadableFile, size: int) -> bool:
    """Return whether the last box extends past the end, or announces one that does not follow."""
    place = 0
    kind = b""
    for _ in range(_MAX_BOXES):
        if place >= size:
            return kind == b"moof" or (place > size and kind in _BOXES)
        header = _read(file, place, 16)
        kind, length = header[4:8], int.from_bytes(header[:4])
        if length == 1:
            length = int.from_bytes(header[8:16])
        place += max(length, 8) if length else size - place  # a box of size 0 extends to the end
    return False


def _matroska(file: ReadableFile, size: int) -> bool:
    """Return whether the segment is longer than the file. A live recording does not tell its length."""
    head = _read(file, 0, 4096)
    header, place = _read_vint(head, 4)
    place += header or 0
    if head[place : place + 4] != b"\x18\x53\x80\x67":
        return False
    segment, place = _read_vint(head, place + 4)
    return segment is not None and place + segment > size


def _read_vint(data: bytes, place: int) -> tuple[int | None, int]:
    """Return the size of an element, None if it is unknown, and the place after it (RFC 8794, 4)."""
    first = data[place] if place < len(data) else 0
    length = 9 - first.bit_length()
    largest = (1 << 7 * length) - 1
    value = int.from_bytes(data[place : place + length]) & largest
    return (None if not first or value == largest else value), place + length


def _avi(file: ReadableFile, size: int) -> bool:
    """Return whether one of the RIFF chunks that follow each other extends past the end."""
    place = 0
    for _ in range(_MAX_RIFFS):
        header = _read(file, place, 8)
        if header[:4] != b"RIFF" or place >= size:
            break
        length = int.from_bytes(header[4:], "little")
        if length in LIVE_RIFFS:
            break
        if place + 8 + length > size:
            return True
        place += 8 + length + length % 2
    return False


def _asf(file: ReadableFile, size: int) -> bool:
    """Return whether the data object, which follows the header object, extends past the end."""
    place = int.from_bytes(_read(file, 16, 8), "little")
    return place + int.from_bytes(_read(file, place + 16, 8), "little") > size


def _flv(file: ReadableFile, size: int) -> bool:
    """Return whether the last four bytes are not the length of a tag before them."""
    length = int.from_bytes(_read(file, size - 4, 4))
    tag = _read(file, max(size - 4 - length, 0), 4)
    if len(tag) < 4:
        return False  # the web server is gone by now
    return tag[0] & 0x1F not in (8, 9, 18) or int.from_bytes(tag[1:]) + 11 != length


def _mpegts(file: ReadableFile, size: int) -> bool:
    """Return whether the last packet is incomplete. Bytes behind the packets that are none do not count."""
    tail = _read(file, max(size - _TS_TAIL, 0), _TS_TAIL)
    for length, whole in _TS_PACKETS.items():
        for rest in [whole, *range(1, length + 1)]:  # bytes from the last packet's first one on
            if tail[-rest::-length][: len(_SYNCS)] == _SYNCS:
                is_whole: bool = rest >= whole
                return not is_whole
    return False


def _mpeg(file: ReadableFile, size: int) -> bool:
    """Return whether the last packet of a program stream extends past the end."""
    tail = _read(file, max(size - _TAIL, 0), _TAIL)
    place = tail.find(_PACK)
    while 0 <= place < len(tail):
        head = tail[place : place + 14]
        if head.startswith(_PACK):
            length = 14 + (head[-1] & 7) if head[4:5] >= b"\x40" else 12  # MPEG-2, MPEG-1
        elif head.startswith(_END) or not head.startswith(_PACK[:3]):
            return False
        else:
            length = 6 + int.from_bytes(head[4:6])
        place += length
    return place > len(tail)


def _ogg(file: ReadableFile, size: int) -> bool:
    """Return whether the last page is incomplete, or is not marked as the last one of its stream."""
    tail = _read(file, max(size - 2 * _OGG_PAGE, 0), 2 * _OGG_PAGE)
    place = tail.rfind(b"OggS")
    header = tail[place : place + 27]
    if place < 0 or len(header) < 27:
        return place >= 0
    table = tail[place + 27 : place + 27 + header[26]]
    is_whole = len(table) == header[26] and place + 27 + len(table) + sum(table) <= len(tail)
    return not is_whole or not header[5] & 4


def _nut(file: ReadableFile, size: int) -> bool:
    """Return whether the index at the end, or the last frame of a file that never had one, is incomplete."""
    read = partial(_read, file)
    if has_index(read, size):
        return False
    try:
        frames = NutFrames(read(0, _NUT_HEAD))
    except IndexError:
        return True  # not even the main header is whole
    for tail in _NUT_TAILS:
        ends_within = frames.end_within(read(max(size - tail, 0), tail), is_whole=tail >= size)
        if ends_within is not None:
            return ends_within
    return False


def _mxf(file: ReadableFile, size: int) -> bool:
    """Return whether the footer is missing, whose place a finished header tells (SMPTE ST 377-1, 7)."""
    head = _read(file, 0, _MXF_RUN_IN + 128)
    start = head.find(_MXF_PARTITION)
    pack = head[start + 16 :]
    if start < 0 or not pack:
        return False
    _, place = _read_ber(pack)
    footer = int.from_bytes(pack[place + 24 : place + 32])
    if footer:
        return _read(file, start + footer, 14) != _MXF_PARTITION + b"\x04"
    # Written in one go, or not to its end. The last part of such a file tells its own length.
    length = int.from_bytes(_read(file, max(size - 4, 0), 4))
    has_end = 0 < length <= size and _read(file, size - length, 14) == _MXF_PARTITION + b"\x11"
    is_open = head[start + 14] in (1, 3)
    return is_open and not has_end


def _read_ber(data: bytes) -> tuple[int, int]:
    """Return the length that is encoded at the beginning, and the place after it (ITU-T X.690, 8.1.3)."""
    if data[0] < 0x80:
        return data[0], 1
    end = 1 + (data[0] & 0x7F)
    return int.from_bytes(data[1:end]), end


def _gif(file: ReadableFile, size: int) -> bool:
    """Return whether the trailer is missing, behind which there may be zeros."""
    return not _read(file, max(size - _GIF_TAIL, 0), _GIF_TAIL).rstrip(b"\0").endswith(b";")


def _read(file: ReadableFile, place: int, size: int) -> bytes:
    """Return `size` bytes from a place on, or fewer at the end of the file."""
    file.seek(place)
    data = b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


_CHECKS: dict[str, Callable[[ReadableFile, int], bool]] = {
    "mov,mp4,m4a,3gp,3g2,mj2": _mp4,
    "matroska,webm": _matroska,
    "avi": _avi,
    "asf": _asf,
    "flv": _flv,
    "mpegts": _mpegts,
    "mpeg": _mpeg,
    "ogg": _ogg,
    "nut": _nut,
    "mxf": _mxf,
    "gif": _gif,
}

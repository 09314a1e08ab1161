"""Small files whose containers list very many things, of which FFmpeg keeps more than they take in the file.

Each function returns the bytes of a file that has about `count` of them.
"""

import struct
from itertools import count as numbers

# Matroska ------------------------------------------------------------------------------------------------


def _element(identifier: int, *content: bytes) -> bytes:
    data = b"".join(content)
    name = identifier.to_bytes((identifier.bit_length() + 7) // 8)
    return name + (0x01 << 56 | len(data)).to_bytes(8) + data


def _number(identifier: int, value: int) -> bytes:
    return _element(identifier, value.to_bytes(max((value.bit_length() + 7) // 8, 1)))


def _matroska(*extra: bytes, tracks: bytes = b"", later: bytes = b"") -> bytes:
    """A Matroska file of one picture, with `extra` elements before it and `later` ones behind it."""
    head = _element(0x1A45DFA3, _element(0x4282, b"matroska"), _number(0x4287, 4), _number(0x4285, 2))
    video = _element(0xE0, _number(0xB0, 64), _number(0xBA, 48))
    track = _element(
        0xAE, _number(0xD7, 1), _number(0x73C5, 1), _number(0x83, 1), _element(0x86, b"V_MJPEG"), video
    )
    info = _element(0x1549A966, _number(0x2AD7B1, 1_000_000))
    block = _element(0xA3, b"\x81\0\0\x80" + b"\xff\xd8\xff\xd9")
    cluster = _element(0x1F43B675, _number(0xE7, 0), block)
    return head + _element(
        0x18538067, info, _element(0x1654AE6B, track, tracks), *extra, cluster, later, cluster
    )


def matroska_tags(count: int) -> bytes:
    return _matroska(_element(0x1254C367, _element(0x7373, b"\x67\xc8\x80" * count)))


def matroska_tag_lists(count: int) -> bytes:
    """20 tags of as many empty ones."""
    return _matroska(_element(0x1254C367, *[_element(0x7373, b"\x67\xc8\x80" * (count // 20))] * 20))


def matroska_cues(count: int) -> bytes:
    point = b"\xbb\x8b" + b"\xb3\x81\x01" + b"\xb7\x86" + b"\xf7\x81\x01" + b"\xf1\x81\x01"
    return _matroska(_element(0x1C53BB6B, point * count))


def matroska_empty_cues(count: int) -> bytes:
    return _matroska(_element(0x1C53BB6B, b"\xbb\x80" * count))


def matroska_cue_positions(count: int) -> bytes:
    """Cues with very many positions each."""
    return _matroska(_element(0x1C53BB6B, *[_element(0xBB, b"\xb7\x80" * (count // 20))] * 20))


def matroska_chapters(count: int) -> bytes:
    return _matroska(_element(0x1043A770, _element(0x45B9, b"\xb6\x80" * count)))


def matroska_attachments(count: int) -> bytes:
    return _matroska(_element(0x1941A469, b"\x61\xa7\x80" * count))


def matroska_fonts(count: int) -> bytes:
    """Four attachments with so many bytes in all."""
    font = _element(
        0x61A7,
        _element(0x466E, b"a.ttf"),
        _element(0x4660, b"font/ttf"),
        _number(0x46AE, 5),
        _element(0x465C, bytes(count // 4)),
    )
    return _matroska(_element(0x1941A469, font * 4))


def matroska_tracks(count: int) -> bytes:
    return _matroska(tracks=b"\xae\x80" * count)


def matroska_encodings(count: int) -> bytes:
    encodings = _element(0xAE, _element(0x6D80, b"\x62\x40\x80" * (count // 10)))
    return _matroska(tracks=encodings * 10)


def matroska_seek_heads(count: int) -> bytes:
    return _matroska(_element(0x114D9B74, b"\x4d\xbb\x80" * count))


def matroska_named_lists(count: int) -> bytes:
    """Chapters behind the pictures, where the index of lists says that they are."""
    chapters = _element(0x1043A770, _element(0x45B9, b"\xb6\x80" * count))

    def build(position: int) -> bytes:
        seek = _element(0x4DBB, _element(0x53AB, b"\x10\x43\xa7\x70"), _element(0x53AC, position.to_bytes(8)))
        return _matroska(_element(0x114D9B74, seek), later=chapters)

    data = build(0)
    start = data.index(b"\x18\x53\x80\x67") + 12
    return build(data.index(b"\x10\x43\xa7\x70\x01") - start)


# AVI -----------------------------------------------------------------------------------------------------


def _chunk(name: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _avi_stream(*more: bytes) -> bytes:
    head = b"vidsMJPG" + struct.pack("<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, 25, 0, 100, 0, 0, 0, 0, 0, 64, 48)
    picture = struct.pack("<IiiHH4sIiiII", 40, 64, 48, 1, 24, b"MJPG", 0, 0, 0, 0, 0)
    return _chunk(b"LIST", b"strl", _chunk(b"strh", head), _chunk(b"strf", picture), *more)


def _avi(streams: list[bytes], *behind: bytes) -> bytes:
    head = struct.pack("<IIIIIIIIII", 40000, 0, 0, 0x10, 100, 0, len(streams), 0, 64, 48) + b"\0" * 16
    header = _chunk(b"LIST", b"hdrl", _chunk(b"avih", head), *streams)
    movie = _chunk(b"LIST", b"movi", _chunk(b"00dc", b"\xff\xd8\xff\xd9"))
    return _chunk(b"RIFF", b"AVI ", header, movie, *behind)


def avi_index(count: int) -> bytes:
    entries = b"".join(b"00dc" + struct.pack("<III", 16, 4 + 8 * n, 4) for n in range(count))
    return _avi([_avi_stream()], _chunk(b"idx1", entries))


def _avi_sound() -> bytes:
    head = (
        b"auds" + bytes(4) + struct.pack("<IHHIIIIIIIIHHHH", 0, 0, 0, 0, 1, 8000, 0, 1, 0, 0, 1, 0, 0, 0, 0)
    )
    format_of_sound = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    return _chunk(b"LIST", b"strl", _chunk(b"strh", head), _chunk(b"strf", format_of_sound))


def avi_divided_sound(tracks: int, *, pictures: int = 1) -> bytes:
    """So many tracks of sound, each with one entry of 500 MB in the index: FFmpeg divides it."""
    frames = (b"00dc" + struct.pack("<III", 16, 4, 4)) * pictures
    sounds = [b"%02dwb" % n + struct.pack("<III", 16, 4 + n, 500_000_000) for n in range(1, tracks + 1)]
    twice = sounds[-1]  # as if the tracks were not interleaved
    return _avi([_avi_stream(), *[_avi_sound()] * tracks], _chunk(b"idx1", frames, *sounds, twice))


def avi_named_lists(lists: int, *, each: int, place: int = 0) -> bytes:
    """An index in the header that names so many lists of pictures behind all others."""
    if not place:
        place = len(avi_named_lists(lists, each=each, place=1)) - lists * (32 + 8 * each)
    head = struct.pack("<HBBI4sQI", 4, 0, 0, lists, b"00dc", 0, 0)
    names = [struct.pack("<QII", place + n * (32 + 8 * each), 32 + 8 * each, each) for n in range(lists)]
    pictures = [
        struct.pack("<HBBI4sQI", 2, 0, 1, each, b"00dc", 0, 0)
        + b"".join(struct.pack("<II", 1000 + 8 * (n * each + m), 4) for m in range(each))
        for n in range(lists)
    ]
    return _avi([_avi_stream(_chunk(b"indx", head, *names))], *[_chunk(b"ix00", part) for part in pictures])


# FLV -----------------------------------------------------------------------------------------------------


def _flv(script: bytes) -> bytes:
    def tag(kind: int, data: bytes) -> bytes:
        head = bytes([kind]) + len(data).to_bytes(3) + b"\0" * 7
        return head + data + (len(data) + 11).to_bytes(4)

    return b"FLV\1\1\0\0\0\x09\0\0\0\0" + tag(18, script) + tag(9, b"\x12\0\0\0\0") * 3


def _amf_text(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def flv_keyframes(count: int) -> bytes:
    count = min(count, 900_000)
    array = b"\x0a" + struct.pack(">I", count) + (b"\0" + struct.pack(">d", 1.0)) * count
    frames = b"\3" + _amf_text(b"times") + array + _amf_text(b"filepositions") + array + b"\0\0\x09"
    return _flv(
        b"\2" + _amf_text(b"onMetaData") + b"\x08\0\0\0\1" + _amf_text(b"keyframes") + frames + b"\0\0\x09"
    )


# Ogg -----------------------------------------------------------------------------------------------------


def _ogg_pages(serial: int, data: bytes, *, first: bool) -> bytes:
    pages = []
    for number in numbers():
        part, data = data[: 255 * 255], data[255 * 255 :]
        lacing = bytes([255] * (len(part) // 255)) + (bytes([len(part) % 255]) if not data else b"")
        flags = (2 if first and number == 0 else 0) | (1 if number else 0)
        head = b"OggS\0" + bytes([flags]) + struct.pack("<QII", 0, serial, number)
        tail = bytes([len(lacing)]) + lacing + part
        pages.append(head + _crc(head + bytes(4) + tail, first=0).to_bytes(4, "little") + tail)
        if not data:
            break
    return b"".join(pages)


def ogg_streams(count: int) -> bytes:
    theora = b"\x80theora\3\2\1" + struct.pack(">HH", 4, 3) + bytes([0, 0, 64, 0, 0, 48, 0, 0])
    theora = (theora + struct.pack(">II", 25, 1)).ljust(42, b"\0")
    return b"".join(_ogg_pages(n + 1, theora, first=True) for n in range(count))


# MPEG-TS -------------------------------------------------------------------------------------------------


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


_CRC = _crc_table()


def _crc(data: bytes, *, first: int = 0xFFFFFFFF) -> int:
    value = first
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ _CRC[value >> 24 ^ byte]
    return value


def _section(table: int, number: int, content: bytes, *, version: int = 0) -> bytes:
    body = struct.pack(">HBBB", number, 0xC1 | version << 1, 0, 0) + content
    head = bytes([table]) + struct.pack(">H", 0xB000 | len(body) + 4)
    return head + body + _crc(head + body).to_bytes(4)


def _packets(pid: int, section: bytes) -> bytes:
    data = b"\0" + section
    found = []
    for number in range(0, len(data), 184):
        head = struct.pack(">BHB", 0x47, pid | (0x4000 if number == 0 else 0), 0x10 | number // 184 % 16)
        found.append(head + data[number : number + 184].ljust(184, b"\xff"))
    return b"".join(found)


def ts_programs(count: int) -> bytes:
    """Tables of 250 programs each, each program with a table of its own."""
    found = []
    for version, first in enumerate(range(1, min(count, 60_000), 250)):
        listed = b"".join(
            struct.pack(">HH", n % 65535 + 1, 0xE000 | 0x20 + n % 8000) for n in range(first, first + 250)
        )
        found.append(_packets(0, _section(0, 1, listed, version=version % 32)))
    return b"".join(found)


def ts_streams(count: int) -> bytes:
    """One program with 200 streams on pids of their own, each of which sends a large packet."""
    listed = struct.pack(">HH", 1, 0xE100)
    streams = b"".join(struct.pack(">BHH", 0x1B, 0xE200 | n, 0xF000) for n in range(180))
    table = _section(2, 1, struct.pack(">HH", 0xE200, 0xF000) + streams)
    found = [_packets(0, _section(0, 1, listed)), _packets(0x100, table)]
    start = b"\0\0\1\xe0\0\0\x80\x80\5!\0\1\0\1"
    per_stream = max(count // 180, 1)
    for n in range(180):
        pid = 0x200 | n
        found.append(struct.pack(">BHB", 0x47, pid | 0x4000, 0x10) + start.ljust(184, b"\xff"))
        found += [struct.pack(">BHB", 0x47, pid, 0x10 | k % 16) + b"\xff" * 184 for k in range(1, per_stream)]
    return b"".join(found)


# ASF -----------------------------------------------------------------------------------------------------

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_ASF_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_ASF_EXTENDED = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
_ASF_MARKERS = bytes.fromhex("01cd87f451a9cf118ee600c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def _asf_object(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<Q", len(content) + 24) + content


def _asf(*extra: bytes) -> bytes:
    file = b"\0" * 16 + struct.pack("<QQQQQQIIII", 0, 0, 1, 0, 0, 0, 2, 1024, 1024, 1000)
    picture = struct.pack("<IIBH", 64, 48, 2, 40) + struct.pack(
        "<IiiHH4sIiiII", 40, 64, 48, 1, 24, b"MJPG", 0, 0, 0, 0, 0
    )
    stream = _ASF_VIDEO + b"\0" * 16 + struct.pack("<QIIHI", 0, len(picture), 0, 1, 0) + picture
    objects = [_asf_object(_ASF_FILE, file), _asf_object(_ASF_STREAM, stream), *extra]
    head = struct.pack("<IH", len(objects), 0x0201) + b"".join(objects)
    return _asf_object(_ASF_HEADER, head) + _asf_object(_ASF_DATA, b"\0" * 26 + b"\0" * 1024)


def asf_markers(count: int) -> bytes:
    marker = struct.pack("<QQHIII", 0, 0, 0, 0, 0, 0)
    return _asf(_asf_object(_ASF_MARKERS, b"\0" * 16 + struct.pack("<IHH", count, 0, 0) + marker * count))

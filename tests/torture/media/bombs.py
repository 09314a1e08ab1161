"""Small files that claim to be huge: in size of the picture, in number of frames, in what they unpack to."""

import struct
import zlib
from pathlib import Path

from tests.support import clips


class _Bits:
    """Writes the numbers that H.264's headers consist of."""

    def __init__(self) -> None:
        self.text = ""

    def plain(self, value: int, length: int) -> None:
        self.text += format(value, f"0{length}b")

    def golomb(self, *values: int) -> None:
        for value in values:
            binary = format(value + 1, "b")
            self.text += "0" * (len(binary) - 1) + binary

    def unit(self, kind: int) -> bytes:
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        raw = int(text, 2).to_bytes(len(text) // 8)
        escaped = bytearray()
        for byte in raw:
            if byte <= 3 and escaped[-2:] == b"\0\0":
                escaped.append(3)
            escaped.append(byte)
        return b"\0\0\0\1" + bytes([kind]) + bytes(escaped)


def h264(
    path: Path, width: int, height: int, *, frames: int = 40, references: int = 16, is_whole: bool = False
) -> Path:
    """Empty pictures of so many pixels, each a few bytes long, and all kept for reference.

    Unless `is_whole`, all but one macroblock of the first is missing.
    """
    parameters = _Bits()
    parameters.plain(66, 8)
    parameters.plain(0, 8)
    parameters.plain(62, 8)
    parameters.golomb(0, 4, 2, references)
    parameters.plain(0, 1)
    parameters.golomb(width // 16 - 1, height // 16 - 1)
    parameters.plain(0b1100, 4)  # frames only, direct inference, no cropping, no VUI
    picture = _Bits()
    picture.golomb(0, 0)
    picture.plain(0, 2)
    picture.golomb(0, references - 1, 0)
    picture.plain(0, 3)
    picture.golomb(0, 0, 0)
    picture.plain(0, 3)
    data = parameters.unit(0x67) + picture.unit(0x68)
    macroblocks = (width // 16) * (height // 16)
    for number in range(frames):
        unit = _Bits()
        if number == 0:
            unit.golomb(0, 7, 0)
            unit.plain(0, 8)
            unit.golomb(0)
            unit.plain(0, 2)
            unit.golomb(0)  # quantiser
            for _ in range(macroblocks if is_whole else 1):
                unit.golomb(3, 0, 0)  # predicted flat
                unit.plain(1, 1)  # no coefficients
            data += unit.unit(0x65)
        else:
            unit.golomb(0, 5, 0)
            unit.plain(number % 256, 8)
            unit.plain(0, 3)
            unit.golomb(0, macroblocks)  # quantiser, then every macroblock skipped
            data += unit.unit(0x61)
    path.write_bytes(data)
    return path


def jpeg(path: Path, width: int, height: int) -> Path:
    """A film of small JPEGs whose headers say that they are huge."""
    clips.moving_boxes_clip(path, frames=10, size=(64, 48), codec="mjpeg")
    data = bytearray(path.read_bytes())
    place = -1
    while (place := data.find(b"\xff\xc0\0\x11\x08", place + 1)) >= 0:
        data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    path.write_bytes(data)
    return path


def gif(path: Path, width: int, height: int) -> Path:
    """A canvas with one pixel drawn on it."""
    image = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    head = b"GIF89a" + struct.pack("<HH", width, height) + b"\xf0\0\0\0\0\0\xff\xff\xff"
    path.write_bytes(head + (b"\x21\xf9\4\0\1\0\0\0" + image) * 20 + b"\x3b")
    return path


def _box(kind: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", len(data) + 8) + kind + data


_PROTECTION = b"\0\0\0\0\0\0\1\0" + bytes(16) + b"\x10" + bytes(16)  # one vector for all samples
_ENCRYPTION = _box(
    b"sinf",
    _box(b"frma", b"jpeg"),
    _box(b"schm", b"\0\0\0\0cenc\0\1\0\0"),
    _box(b"schi", _box(b"tenc", _PROTECTION)),
)


def mp4(
    path: Path,
    *,
    samples: int = 2**30,
    tracks: int = 1,
    duration: int = 2**31,
    edits: int = 0,
    is_sound: bool = False,
    sample: int = 0,
    lists: bytes = b"",
) -> Path:
    """One sample on disk, and an index that says it is there `samples` times.

    With `edits`, the whole track is shown so often. If `is_sound`, the samples are those of plain sound. With
    `sample`, it has so many bytes, and each entry of the index names its place. With `lists` of encryption in
    its index, each track is encrypted.
    """
    entry = b"\0" * 6 + b"\0\1" + b"\0" * 16 + struct.pack(">HH", 64, 48) + b"\0\x48\0\0" * 2 + b"\0" * 4
    entry += b"\0\1" + b"\0" * 32 + b"\0\x18\xff\xff"
    if is_sound:
        entry = b"\0" * 6 + b"\0\1" + b"\0" * 8 + struct.pack(">HHII", 1, 16, 0, 8000 << 16)
    places = samples if sample else 1
    described = _box(b"encv", entry, _ENCRYPTION) if lists else _box(b"sowt" if is_sound else b"jpeg", entry)
    table = _box(
        b"stbl",
        _box(b"stsd", struct.pack(">II", 0, 1), described),
        _box(b"stts", struct.pack(">IIII", 0, 1, samples, 1 if is_sound else 2)),
        _box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1 if sample else samples, 1)),
        _box(b"stsz", struct.pack(">III", 0, sample or 1, 1 if is_sound else samples)),
        _box(b"stco", struct.pack(">II", 0, places), struct.pack(">I", 28) * places),
        lists,
    )
    kind = b"soun" if is_sound else b"vide"
    media = _box(
        b"mdia",
        _box(b"mdhd", struct.pack(">IIIIIHH", 0, 0, 0, 30, duration, 0, 0)),
        _box(b"hdlr", b"\0" * 8 + kind + b"\0" * 13),
        _box(b"minf", _box(b"vmhd", b"\0\0\0\1" + b"\0" * 8), _data_reference(), table),
    )
    if edits:
        shown = struct.pack(">III", 2 * samples, 0, 1 << 16)
        media = _box(b"edts", _box(b"elst", struct.pack(">II", 0, edits), shown * edits)) + media
    head = b"\0" * 12 + b"\0\0\0\1" + b"\0" * 4 + struct.pack(">I", duration) + b"\0" * 60
    movie = _box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 30, duration) + b"\0" * 80)
    every = b"".join(
        _box(b"trak", _box(b"tkhd", head[:12] + struct.pack(">I", n + 1) + head[16:]), media)
        for n in range(tracks)
    )
    data = _box(b"mdat", b"\xff" * max(sample, 64))
    path.write_bytes(_box(b"ftyp", b"isom\0\0\2\0isom") + data + _box(b"moov", movie, every))
    return path


def encrypted(path: Path, *, samples: int = 0, key_systems: int = 0, tracks: int = 1) -> Path:
    """An mp4 of one sample, whose tracks say that so many are encrypted, for so many systems of keys."""
    lists = _box(b"senc", struct.pack(">II", 0, samples)) + _box(b"pssh", bytes(24)) * key_systems
    return mp4(path, samples=1, tracks=tracks, lists=lists)


def names_of_boxes(path: Path, name: bytes, count: int) -> Path:
    """An mp4 of one sample, and a box that consists of the name of another, so often."""
    mp4(path, samples=1)
    path.write_bytes(path.read_bytes() + _box(b"udta", name * count))
    return path


def fragments(path: Path, *, samples: int, tracks: int) -> Path:
    """An mp4 of one fragment, whose tracks say that they have so many samples without a size in it."""
    mp4(path, samples=1, tracks=tracks)
    data = path.read_bytes()
    header = data.index(b"moov") - 4
    defaults = b"".join(_box(b"trex", struct.pack(">IIIIII", 0, n + 1, 1, 2, 1, 0)) for n in range(tracks))
    runs = b"".join(
        _box(
            b"traf",
            _box(b"tfhd", struct.pack(">II", 0x020000, n + 1)),
            _box(b"trun", struct.pack(">II", 0, samples)),
        )
        for n in range(tracks)
    )
    fragment = _box(b"moof", _box(b"mfhd", struct.pack(">II", 0, 1)), runs)
    moov = _box(b"moov", data[header + 8 :], _box(b"mvex", defaults))
    path.write_bytes(data[:header] + moov + fragment + _box(b"mdat", b"\xff" * 2**20))
    return path


def _data_reference() -> bytes:
    return _box(b"dinf", _box(b"dref", struct.pack(">II", 0, 1), _box(b"url ", b"\0\0\0\1")))


def packed_index(path: Path, size: int = 2**30) -> Path:
    """A compressed index of zeros."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(b"\0" * 2**20) for _ in range(size // 2**20)) + packer.flush()
    content = _box(b"dcom", b"zlib"), _box(b"cmvd", struct.pack(">I", size), packed)
    path.write_bytes(_box(b"ftyp", b"qt  \0\0\2\0qt  ") + _box(b"moov", _box(b"cmov", *content)))
    return path

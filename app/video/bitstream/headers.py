"""Read from a packet what its picture is to other pictures."""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from av.codec import Codec
from av.codec.codec import UnknownCodecError

from ..coded import VideoPacket
from .bits import BitReader
from .nal_units import find_units, length_size

_SELF_CONTAINED = frozenset(["vp8", "vp9", "av1"])  # codecs whose key frames reset the decoder
_CERTAIN_KEYS = frozenset(["vp9", "av1", "png", "cfhd"])  # FFmpeg recognizes them, or each picture is one
_H264_SLICES, _H264_IDR = range(1, 6), 5
_HEVC_SLICES, _HEVC_IDR = range(32), (19, 20)
_H264_INTRA, _H264_MESSAGE, _RECOVERY_POINT = (2, 4, 7, 9), 6, 6
_HEVC_KEYS = range(16, 24)
_MPEG4_PICTURE, _MPEG2_PICTURE = b"\0\0\1\xb6", b"\0\0\1\0"
_NO_PICTURE = {"h264": frozenset([*range(6, 16), 19, 20, 21]), "hevc": frozenset(range(32, 64))}
_DELIMITER = {"h264": 9, "hevc": 35}  # begins each picture, if there are any
_MAX_MESSAGE = 512  # bytes of a unit that belongs to no picture
_FFV1_KEY = 0x7F80  # the least first 16 bits of a key frame: its first bit, as the range coder writes it
_THEORA_HEADER = 0x80


class PictureHeader(NamedTuple):
    """What a packet tells of its picture.

    `is_shown`: a player shows it. `is_reference`: other pictures may be predicted from it. `resets_decoder`:
    no later picture, in decode or presentation order, is predicted from an earlier one, if it is a key frame.
    `is_setup`: it is no picture, but says how later ones are coded.
    """

    is_shown: bool = True
    is_reference: bool = True
    resets_decoder: bool = False
    is_setup: bool = False


_SETUP = PictureHeader(is_shown=False, is_setup=True)


class HeaderReader:
    """Reads the headers of one stream, whose codec and extradata are given."""

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._length_size = length_size(codec, extradata)
        # Whether a key frame that follows another one is believed without looking at it.
        self._may_follow_key = codec in _CERTAIN_KEYS or _is_intra_only(codec)

    def read(self, packet: VideoPacket) -> PictureHeader:
        """Return the header of a packet's picture. Non-reference pictures are recognized in H.264 only."""
        match self._codec:
            case "h264":
                for first in self._unit_headers(packet):
                    if first & 0x1F in _H264_SLICES:
                        return PictureHeader(
                            is_reference=first & 0x60 != 0, resets_decoder=first & 0x1F == _H264_IDR
                        )
                return _SETUP if self._holds_no_picture(packet) else PictureHeader()
            case "hevc":
                for first in self._unit_headers(packet):
                    if first >> 1 & 0x3F in _HEVC_SLICES:
                        return PictureHeader(resets_decoder=first >> 1 & 0x3F in _HEVC_IDR)
                return _SETUP if self._holds_no_picture(packet) else PictureHeader()
            case "vp8":
                return PictureHeader(is_shown=memoryview(packet)[0] & 0x10 != 0, resets_decoder=True)
            case "theora":  # the headers come again where Ogg files were joined
                return _SETUP if memoryview(packet)[0] & _THEORA_HEADER else PictureHeader()
            case codec:
                return PictureHeader(resets_decoder=codec in _SELF_CONTAINED)

    def may_be_key(self, packet: VideoPacket, *, is_first: bool = False, follows_key: bool = False) -> bool:
        """Return whether a packet that its container calls a key frame can be one: some containers err.

        A damaged one counts as it is called. One with which a gradual refresh begins is none, except the
        first of a recording: pictures after it may depend on those before it, whatever it promises.
        `follows_key`: the packet before was called a key frame, too. If the codec's headers are not read
        here, this one is none then: decoding begins at the one before.
        """
        match self._codec:
            case "h264":
                return self._may_be_h264_key(bytes(packet), is_first=is_first)
            case "hevc":
                kinds = [first >> 1 & 0x3F for first in self._unit_headers(packet)]
                return not any(kind in _HEVC_SLICES for kind in kinds) or any(
                    kind in _HEVC_KEYS for kind in kinds
                )
            case "mpeg4":
                return _bits_after(_MPEG4_PICTURE, bytes(packet), 0, 0xC0) in (None, 0)
            case "mpeg1video" | "mpeg2video":
                return _bits_after(_MPEG2_PICTURE, bytes(packet), 1, 0x38) in (None, 0x08)
            case "vp8":
                return memoryview(packet)[0] & 1 == 0
            case "h263":
                return _is_h263_intra(memoryview(packet)[:10])
            case "ffv1":
                return int.from_bytes(memoryview(packet)[:2]) >= _FFV1_KEY
            case _:
                return self._may_follow_key or not follows_key

    def _may_be_h264_key(self, data: bytes, *, is_first: bool) -> bool:
        """Return whether an H.264 packet has an IDR, an intra slice first, or a recovery point."""
        for offset in find_units(data, self._length_size):
            kind = data[offset] & 0x1F
            if kind == _H264_IDR:
                return True
            frames = _recovery_frames(data, offset + 1) if kind == _H264_MESSAGE else None
            if frames == 0 or (frames is not None and is_first):
                return True
            if kind in _H264_SLICES:
                bits = BitReader(data[offset + 1 : offset + 16])
                try:
                    bits.read_golomb()  # first_mb_in_slice
                    return bits.read_golomb() in _H264_INTRA
                except IndexError:
                    return True
        return True

    def _unit_headers(self, packet: VideoPacket) -> Iterator[int]:
        """Yield the first byte of each NAL unit, which holds the type of the unit."""
        data = memoryview(packet) if self._length_size else bytes(packet)
        return (data[offset] for offset in find_units(data, self._length_size))

    def _holds_no_picture(self, packet: VideoPacket) -> bool:
        """Return whether a packet without a slice is whole: parameter sets and messages alone.

        If it is damaged, it had a picture, which keeps its rank.
        """
        data = bytes(packet)
        starts = list(find_units(data, self._length_size))
        gap = self._length_size or 3
        sizes = [end - gap - start for start, end in pairwise([*starts, len(data) + gap])]
        kinds = [data[start] & 0x1F if self._codec == "h264" else data[start] >> 1 & 0x3F for start in starts]
        if not set(kinds) <= _NO_PICTURE[self._codec] or any(data[start] & 0x80 for start in starts):
            return False
        if self._length_size:
            lengths = [int.from_bytes(data[start - gap : start]) for start in starts]
            return lengths == sizes
        if not starts:
            return not data.strip(b"\0")
        if _DELIMITER[self._codec] in kinds and len(data) > 8:
            return False
        return not data[: starts[0] - gap].strip(b"\0") and max(sizes) <= _MAX_MESSAGE


@cache
def _is_intra_only(codec: str) -> bool:
    """Return whether each picture of the codec stands alone."""
    try:
        return Codec(codec, "r").intra_only
    except UnknownCodecError:
        return True


def _is_h263_intra(header: memoryview) -> bool:
    """Return whether the header of an H.263 picture says that it is intra coded (H.263, 5.1)."""
    value, left = int.from_bytes(header), 8 * len(header) - 30

    def read(count: int) -> int:
        nonlocal left
        left -= count
        return value >> left & (1 << count) - 1

    if left < 50 or value >> left + 8 != 0x20:  # it is damaged
        return True
    read(5)
    if read(3) != 7:
        return read(1) == 0
    if read(3) == 1:
        read(18)
    return read(3) == 0


def _bits_after(code: bytes, data: bytes, offset: int, mask: int) -> int | None:
    """Return bits of the byte that follows a start code after `offset` others, None if it is missing."""
    place = data.find(code)
    place += len(code) + offset
    return data[place] & mask if len(code) + offset <= place < len(data) else None


def _recovery_frames(data: bytes, place: int) -> int | None:
    """Return after how many frames pictures are whole, if a recovery point among messages says so (D.2.8)."""
    while place + 1 < len(data) and data[place : place + 3] != b"\0\0\1":
        if data[place] == _RECOVERY_POINT:
            try:
                return BitReader(data[place + 2 : place + 8]).read_golomb()
            except IndexError:
                return 0
        for _ in range(2):  # the kind, then the size of a message: each byte of 255 continues it
            value = 0
            while place < len(data) and data[place] == 0xFF:
                value, place = value + 0xFF, place + 1
            value += data[place] if place < len(data) else 0
            place += 1
        place += value
        if data[place : place + 1] == b"\x80":
            break
    return None

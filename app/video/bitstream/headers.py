"""Read from a packet what its picture is to other pictures."""

from collections.abc import Iterator
from typing import NamedTuple

from ..coded import VideoPacket
from .nal_units import find_units, length_size

_SELF_CONTAINED = frozenset(["vp8", "vp9", "av1"])  # codecs whose key frames reset the decoder
_H264_SLICES, _H264_IDR = range(1, 6), 5
_HEVC_SLICES, _HEVC_IDR = range(32), (19, 20)


class PictureHeader(NamedTuple):
    """What a packet tells of its picture.

    `is_shown`: a player shows it. `is_reference`: other pictures may be predicted from it. `resets_decoder`:
    no later picture, in decode or presentation order, is predicted from an earlier one, if it is a key frame.
    """

    is_shown: bool = True
    is_reference: bool = True
    resets_decoder: bool = False


class HeaderReader:
    """Reads the headers of one stream, whose codec and extradata are given."""

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._length_size = length_size(codec, extradata)

    def read(self, packet: VideoPacket) -> PictureHeader:
        """Return the header of a packet's picture. Non-reference pictures are recognized in H.264 only."""
        match self._codec:
            case "h264":
                for first in self._unit_headers(packet):
                    if first & 0x1F in _H264_SLICES:
                        return PictureHeader(
                            is_reference=first & 0x60 != 0, resets_decoder=first & 0x1F == _H264_IDR
                        )
                return PictureHeader(is_shown=False)
            case "hevc":
                for first in self._unit_headers(packet):
                    if first >> 1 & 0x3F in _HEVC_SLICES:
                        return PictureHeader(resets_decoder=first >> 1 & 0x3F in _HEVC_IDR)
                return PictureHeader(is_shown=False)
            case "vp8":
                return PictureHeader(is_shown=memoryview(packet)[0] & 0x10 != 0, resets_decoder=True)
            case codec:
                return PictureHeader(resets_decoder=codec in _SELF_CONTAINED)

    def _unit_headers(self, packet: VideoPacket) -> Iterator[int]:
        """Yield the first byte of each NAL unit, which holds the type of the unit."""
        data = memoryview(packet) if self._length_size else bytes(packet)
        return (data[offset] for offset in find_units(data, self._length_size))

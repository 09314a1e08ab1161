"""The little that has to be read from coded pictures themselves, before decoding."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .packets import Packet

_SELF_CONTAINED = frozenset(["vp8", "vp9", "av1"])  # a key frame of these resets everything
_H264_SLICES, _H264_IDR = range(1, 6), 5
_HEVC_SLICES, _HEVC_IDR = range(32), (19, 20)


class Header(NamedTuple):
    """Whether a picture is shown, whether others are predicted from it, whether a key frame begins anew."""

    shown: bool = True
    reference: bool = True
    clean: bool = False


class Headers:
    """Reads the packets of one stream; `codec` and `extradata` are the stream's."""

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._length_size = length_size(codec, extradata)

    def read(self, packet: "Packet") -> Header:
        """What the packet's picture is to the others. Only in H.264 are any told to be no reference."""
        match self._codec:
            case "h264":
                for first in self._units(packet):
                    if first & 0x1F in _H264_SLICES:
                        return Header(reference=first & 0x60 != 0, clean=first & 0x1F == _H264_IDR)
                return Header(shown=False)
            case "hevc":
                for first in self._units(packet):
                    if first >> 1 & 0x3F in _HEVC_SLICES:
                        return Header(clean=first >> 1 & 0x3F in _HEVC_IDR)
                return Header(shown=False)
            case "vp8":
                return Header(shown=memoryview(packet)[0] & 0x10 != 0, clean=True)
            case codec:
                return Header(clean=codec in _SELF_CONTAINED)

    def _units(self, packet: "Packet") -> Iterator[int]:
        """The first byte of each of the picture's units, which names the unit's type."""
        data = memoryview(packet) if self._length_size else bytes(packet)
        return (data[place] for place in units(data, self._length_size))


def length_size(codec: str, extradata: bytes | None) -> int:
    """How many bytes tell each unit's length; 0 where start codes divide the units."""
    sizes_at = {"h264": 4, "hevc": 21}.get(codec)
    if sizes_at and extradata and len(extradata) > sizes_at and extradata[0] == 1:
        return (extradata[sizes_at] & 3) + 1
    return 0


def units(data: "bytes | memoryview", length_size: int) -> Iterator[int]:
    """Where each unit of H.264 or H.265 begins."""
    if length_size:
        place = length_size
        while place < len(data):
            yield place
            place += int.from_bytes(data[place - length_size : place]) + length_size
    else:
        text = bytes(data)
        place = text.find(b"\0\0\1") + 3
        while 3 <= place < len(text):
            yield place
            place = text.find(b"\0\0\1", place) + 3

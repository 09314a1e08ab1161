"""Find the NAL units in H.264 and H.265 data."""

from collections.abc import Iterator
from typing import TypeAlias

PictureOrder: TypeAlias = tuple[int, int]
"""Number of the coded video sequence, and picture order count in it."""

_START_CODE = b"\0\0\1"


def length_size(codec: str, extradata: bytes | None) -> int:
    """Return the size of the length before each NAL unit, in bytes; 0 if start codes separate the units."""
    offset = {"h264": 4, "hevc": 21}.get(codec)
    if offset and extradata and len(extradata) > offset and extradata[0] == 1:
        return (extradata[offset] & 3) + 1
    return 0


def find_units(data: "bytes | memoryview", length_size: int) -> Iterator[int]:
    """Yield the offset at which each NAL unit begins."""
    if length_size:
        offset = length_size
        while offset < len(data):
            yield offset
            offset += int.from_bytes(data[offset - length_size : offset]) + length_size
    else:
        text = bytes(data)
        offset = text.find(_START_CODE) + 3
        while 3 <= offset < len(text):
            yield offset
            offset = text.find(_START_CODE, offset) + 3

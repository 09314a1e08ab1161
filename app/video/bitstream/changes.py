"""Notice that a stream goes on in another codec, as where recordings of two were joined."""

from collections.abc import Iterator

from ..coded import VideoPacket

_MPEG_2, _H264, _HEVC = "MPEG-2", "H.264", "H.265"
_NAMES = {"mpeg1video": _MPEG_2, "mpeg2video": _MPEG_2, "h264": _H264, "hevc": _HEVC}
# The byte after the first start code of a picture: certainly of this codec, or possibly.
_FIRST = {0xB3: _MPEG_2, 0x09: _H264, 0x46: _HEVC}
_OTHERS = {0x00: _MPEG_2, 0xB8: _MPEG_2}
_ENOUGH = 3  # pictures in a row: one may be damaged


class CodecChange:
    """Ends the packets of a stream where those of another codec begin. `found` is the name of that codec."""

    def __init__(self, codec: str) -> None:
        self.found: str | None = None
        self._codec = _NAMES.get(codec)

    def end(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        """Yield the packets before a change."""
        held: list[VideoPacket] = []
        other: str | None = None
        for packet in packets:
            code = _code(packet)
            name = _FIRST.get(code) or (_OTHERS.get(code) if held else None)
            if name is None or name == self._codec or other not in (None, name):
                yield from held
                held.clear()
                other = None
                yield packet
                continue
            other = name
            held.append(packet)
            if len(held) == _ENOUGH:
                self.found = other
                return
        yield from held


def _code(packet: VideoPacket) -> int:
    """Return the byte after the start code with which a packet begins, -1 if there is none."""
    head = bytes(memoryview(packet)[:8])
    place = head.find(b"\0\0\1") + 3
    return head[place] if 3 <= place < len(head) else -1

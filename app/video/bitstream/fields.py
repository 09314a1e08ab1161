"""Join the two fields of an H.264 frame that come in two packets."""

from collections.abc import Iterable, Iterator
from typing import cast

import av

from ..coded import VideoPacket
from .h264 import H264Picture, H264PictureReader


class FieldJoiner:
    """Joins the packets of two fields of one frame. `pairs` counts these frames."""

    def __init__(self, extradata: bytes | None) -> None:
        self.pairs = 0
        self._reader = H264PictureReader(extradata)

    def join(self, packets: Iterable[VideoPacket]) -> Iterator[VideoPacket]:
        """Yield the packets; those of two fields of one frame (same frame_num, opposite parity) as one.

        A field that cannot be read counts as the one that its neighbour lacks.
        """
        held: tuple[VideoPacket, H264Picture | None] | None = None  # a first field
        first_parity: str | None = None  # of the last pair
        for packet in packets:
            picture = self._reader.read_field(packet)
            is_field = (
                (picture.field is not None) if picture else packet.size > 0 and first_parity is not None
            )
            if held is not None:
                first, known = held
                held = None
                if is_field and _is_second(known, picture, first_parity):
                    first_parity = known.field if known else first_parity
                    self.pairs += 1
                    yield _joined(first, packet)
                    continue
                yield first
            if is_field:
                held = packet, picture
            else:
                yield packet
        if held is not None:
            yield held[0]


def _is_second(first: H264Picture | None, second: H264Picture | None, first_parity: str | None) -> bool:
    if first is None:
        return second is None or second.field != first_parity
    if second is None:
        return first_parity in (None, first.field)
    return second.field != first.field and second.frame_num == first.frame_num


def _joined(first: VideoPacket, second: VideoPacket) -> VideoPacket:
    packet = cast("VideoPacket", av.Packet(bytes(first) + bytes(second)))
    packet.pts = first.pts if first.pts is not None else second.pts
    packet.dts = first.dts
    packet.time_base = first.time_base
    packet.is_keyframe = first.is_keyframe
    packet.is_corrupt = first.is_corrupt or second.is_corrupt
    return packet

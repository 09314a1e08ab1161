"""Separate the pictures of MPEG-4 in which B-frames are packed with the picture before (DivX in AVI)."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import cast

import av
from av.bitstream import BitStreamFilterContext
from av.error import FFmpegError
from av.video.stream import VideoStream

from ..coded import VideoPacket

_PACKED = re.compile(rb"\x00\x00\x01\xb2DivX[0-9]+(?:b|Build)[0-9]+p")
_PICTURE, _B_FRAME = b"\0\0\1\xb6", 2


def unpack_b_frames(packets: Iterator[VideoPacket], stream: VideoStream) -> Iterator[VideoPacket]:
    """Yield the packets with one picture in each, and with presentation timestamps if they were packed.

    A packed stream says so in its user data. A packet of 0 bytes stands for a picture that is missing.
    """
    first = next(packets, None)
    if first is None:
        return
    packets = chain([first], packets)
    if not (_PACKED.search(stream.codec_context.extradata or b"") or _PACKED.search(bytes(first))):
        yield from packets
        return
    held: VideoPacket | None = None  # it is presented when the next one that is no B-frame is decoded
    waiting: list[VideoPacket] = []
    latest = interval = 0
    for packet in _separated(packets, stream):
        packet.pts = packet.dts
        if packet.size and not _is_b_frame(packet):
            if held is not None:
                held.pts = packet.dts
            yield from waiting
            held = packet
            waiting.clear()
        waiting.append(packet)
        interval, latest = (packet.dts or 0) - latest, packet.dts or 0
    if held is not None:
        held.pts = latest + max(1, interval)
    yield from waiting


def _separated(packets: Iterator[VideoPacket], stream: VideoStream) -> Iterator[VideoPacket]:
    separate = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    for packet in packets:
        if not packet.size:
            yield packet
            continue
        time = packet.dts
        try:
            yield from separate.filter(packet)
        except FFmpegError:  # the filter has taken the data
            missing = cast("VideoPacket", av.Packet(0))
            missing.dts = time
            yield missing
    yield from separate.filter(None)


def _is_b_frame(packet: VideoPacket) -> bool:
    data = bytes(packet)
    place = data.find(_PICTURE) + len(_PICTURE)
    return len(_PICTURE) <= place < len(data) and data[place] >> 6 == _B_FRAME

"""Restore the timestamps of H.264 and H.265 pictures in formats that do not store them.

The pictures' own headers tell their presentation order. FFmpeg's filter dts2pts reads these, but aborts the
process on some damaged H.265 recordings.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from itertools import cycle, islice

import av
from av.bitstream import BitStreamFilterContext
from av.error import FFmpegError
from av.video.stream import VideoStream

from ..coded import VideoPacket
from .hevc import PictureOrder, PictureOrderCounter

_MAX_REORDERED = 16  # pictures that may precede another in decode order and follow it in presentation order
_MAX_EXTRA = 1000  # packets


def restore_h264(
    packets: Iterable[VideoPacket], stream: VideoStream, frame_ticks: int
) -> Iterator[VideoPacket]:
    """Yield the packets in decode order, with presentation timestamps; `frame_ticks` is a frame's duration.

    Packets without a readable picture are left out.
    """
    dts2pts = BitStreamFilterContext("dts2pts", stream)
    first: list[bytes] = []
    received = sent = dts = 0
    for packet in packets:
        if len(first) < 2:
            first.append(bytes(packet))
        dts = packet.dts = packet.dts if packet.dts is not None else received
        packet.pts = None
        try:
            restored = dts2pts.filter(packet)
        except FFmpegError:
            continue  # the header is too damaged to read
        received += 1
        sent += len(restored)
        yield from restored
    # When flushed, the filter gets the last pictures wrong; if more packets follow, it gets all right.
    for data in islice(cycle(first), _MAX_EXTRA):
        if sent == received:
            return
        extra = av.Packet(data)
        dts = extra.dts = dts + frame_ticks
        restored = dts2pts.filter(extra)[: received - sent]
        sent += len(restored)
        yield from restored


def restore_h265(
    packets: Iterable[VideoPacket], extradata: bytes | None, frame_ticks: int
) -> Iterator[VideoPacket]:
    """Yield the packets in decode order, with presentation timestamps; `frame_ticks` is a frame's duration.

    Of the packets' timestamps only those of decoding are used, if there are any. Packets without a readable
    picture are left out.
    """
    counter = PictureOrderCounter(extradata)
    waiting: deque[VideoPacket] = deque()  # in decode order
    unplaced: list[tuple[PictureOrder, int, VideoPacket]] = []  # heap of waiting packets without a timestamp
    times: deque[int] = deque()  # the nth picture in presentation order gets the nth decode timestamp
    recent: deque[int] = deque(maxlen=_MAX_REORDERED + 1)
    for number, packet in enumerate(packets):
        order = counter.read_picture(bytes(packet))
        if order is None:
            continue
        decoded = number * frame_ticks if packet.dts is None else packet.dts
        times.append(decoded)
        recent.append(decoded)
        # Decode early enough that no picture is presented before it is decoded.
        packet.dts = recent[0] - (_MAX_REORDERED + 1 - len(recent)) * frame_ticks
        packet.pts = None
        waiting.append(packet)
        heappush(unplaced, (order, number, packet))
        while len(unplaced) > _MAX_REORDERED or unplaced[0][0][0] < order[0]:
            heappop(unplaced)[2].pts = times.popleft()
        while waiting and waiting[0].pts is not None:
            yield waiting.popleft()
    while unplaced:
        heappop(unplaced)[2].pts = times.popleft()
    yield from waiting

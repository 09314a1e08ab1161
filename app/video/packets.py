"""A recording's pictures as stored: numbered, with timestamps to rely on, and put in the order shown."""

from collections.abc import Iterator
from fractions import Fraction
from heapq import heappop, heappush
from itertools import cycle, islice
from typing import TypeAlias, cast

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from msgspec import Struct

from .container import OpenContainer
from .headers import Headers
from .hevc import in_order

Packet: TypeAlias = "av.Packet[VideoStream]"

_RAW = frozenset(["h264", "hevc"])
_UNORDERED = _RAW | {"avi", "asf"}
"""Formats whose timestamps do not tell in which order H.264 and H.265 pictures are shown."""

_GENERATED = "wrapped_avframe"  # a test pattern's frames, each of which stands alone
_DEEPEST = 64  # more pictures than any codec holds back, with room for hidden ones


class Coded(Struct):
    """One coded picture. `number` counts in file order; `pts` and `dts` are in ticks of the video's clock.

    `shown` is false for pictures that only help to decode others. Nothing that comes after a `clean` key
    frame, in file order or in shown order, needs anything before it. What follows `damaged` is filled in
    later: the ordinal, the ticks since the first frame, whether it is sampled, and what decoding gave.
    """

    number: int
    pts: int
    dts: int | None
    key: bool
    clean: bool
    reference: bool
    shown: bool
    damaged: bool
    rank: int = -1
    ticks: int = 0
    wanted: bool | None = None
    frame: av.VideoFrame | None = None


class Packets:
    """Iterates, once, over the video's coded pictures with their packets. Raises what PyAV raises in reading.

    `reached` is where the latest packet so far ended, in seconds since the container's start: the video's
    packets, or with `all_streams` any.
    """

    def __init__(self, opened: OpenContainer, *, all_streams: bool = False) -> None:
        self.reached = 0.0
        self._opened = opened
        self._container = container = opened.container
        self._stream = stream = opened.stream
        self._all_streams = all_streams
        self.codec = stream.codec_context.codec.canonical_name
        raw = container.format.name in _RAW or not stream.time_base
        rate = frame_rate(container, stream) or Fraction(25)
        self.tick = 1 / rate if raw else Fraction(stream.time_base or 1)
        self._frame_ticks = max(1, round(1 / rate / self.tick))

    def __iter__(self) -> Iterator[tuple[Coded, Packet]]:
        headers = Headers(self.codec, self._stream.codec_context.extradata)
        unordered = self._container.format.name in _UNORDERED and self.codec in _RAW
        packets = self._demuxed()
        if unordered and self.codec == "h264":
            packets = self._restored()
        elif unordered:
            packets = in_order(packets, self._stream.codec_context.extradata, self._frame_ticks)
        second = int(1 / self.tick)
        latest: int | None = None
        shift = 0
        for number, packet in enumerate(_without_stump(packets)):
            pts, dts = packet.pts, packet.dts
            if dts is not None:
                # Where recordings were joined, time begins again: it is made to go on instead.
                if latest is not None and dts + shift < latest - second:
                    shift = latest + self._frame_ticks - dts
                dts += shift
                latest = dts
            if pts is not None:
                pts += shift
            else:
                pts = dts if dts is not None else number * self._frame_ticks
            header = headers.read(packet)
            key = packet.is_keyframe or self.codec == _GENERATED
            yield (
                Coded(
                    number=number,
                    pts=pts,
                    dts=dts,
                    key=key,
                    clean=key and header.clean,
                    reference=key or header.reference,
                    shown=header.shown and not packet.is_discard,
                    damaged=packet.is_corrupt,
                ),
                packet,
            )

    def _demuxed(self) -> Iterator[Packet]:
        start = (self._container.start_time or 0) / av.time_base
        index = self._stream.index
        streams = list(self._container.streams) if self._all_streams else [self._stream]
        ticks = {stream.index: float(stream.time_base or 0) for stream in streams}
        for packet in self._opened.demux(*streams):
            if not packet.size:
                continue
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * ticks[packet.stream_index] - start
                self.reached = max(self.reached, end)
            if packet.stream_index == index:
                yield cast("Packet", packet)

    def _restored(self) -> Iterator[Packet]:
        """The packets with the timestamps that the pictures' own numbering stands for."""
        restore = BitStreamFilterContext("dts2pts", self._stream)
        first: list[bytes] = []
        received = sent = dts = 0
        for packet in self._demuxed():
            if len(first) < 2:
                first.append(bytes(packet))
            dts = packet.dts = packet.dts if packet.dts is not None else received
            packet.pts = None
            try:
                restored = restore.filter(packet)
            except FFmpegError:
                continue  # its header is damaged beyond reading
            received += 1
            sent += len(restored)
            yield from restored
        # Told to end, the filter gets the last pictures wrong; pushed on by more of them, it gets all right.
        for data in islice(cycle(first), 1000):
            if sent == received:
                return
            extra = av.Packet(data)
            dts = extra.dts = dts + self._frame_ticks
            restored = restore.filter(extra)[: received - sent]
            sent += len(restored)
            yield from restored


def _without_stump(packets: Iterator[Packet]) -> Iterator[Packet]:
    """The packets without a last one that is damaged: it is what is left of a picture that was cut off."""
    held: Packet | None = None
    for packet in packets:
        if held is not None:
            yield held
        held = packet if packet.is_corrupt else None
        if held is None:
            yield packet


def frame_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Frames a second, on average."""
    if container.format.name in _RAW:  # which has no clock: FFmpeg makes 25 of that
        return stream.guessed_rate
    return stream.average_rate or stream.guessed_rate


class ShownOrder:
    """Puts pictures in the order in which they are shown, as soon as it is certain."""

    def __init__(self) -> None:
        self._held: list[tuple[int, int, Coded]] = []

    def push(self, coded: Coded) -> Iterator[Coded]:
        """Take the next picture in file order; gives those that nothing later can come before."""
        if coded.shown:
            heappush(self._held, (coded.pts, coded.number, coded))
        while self._held and (
            (coded.dts is not None and self._held[0][0] <= coded.dts) or len(self._held) > _DEEPEST
        ):
            yield heappop(self._held)[2]

    def rest(self) -> Iterator[Coded]:
        """The remaining pictures, at the end of the recording."""
        while self._held:
            yield heappop(self._held)[2]

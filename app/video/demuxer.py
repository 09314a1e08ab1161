"""Read a recording's coded pictures, numbered and with timestamps that can be trusted."""

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from .bitstream.headers import HeaderReader
from .bitstream.timestamps import restore_h264, restore_h265
from .coded import CodedPicture, VideoPacket
from .container import OpenContainer

_RAW = frozenset(["h264", "hevc"])  # formats without a container
_UNORDERED = _RAW | {"avi", "asf"}
"""Formats whose timestamps do not tell the presentation order of H.264 and H.265 pictures."""

_TEST_PATTERN = "wrapped_avframe"  # the codec of generated frames, each of which stands alone


class PictureDemuxer:
    """Iterates once over a video's coded pictures in decode order, each with its packet.

    `end_seconds` is the end of the latest packet, counted from the container's start: of the video's packets,
    or of all packets with `all_streams`. Iterating raises READ_ERRORS and VideoError.
    """

    def __init__(self, opened: OpenContainer, *, all_streams: bool = False) -> None:
        self.end_seconds = 0.0
        self._opened = opened
        self._container = container = opened.container
        self._stream = stream = opened.stream
        self._all_streams = all_streams
        self.codec = stream.codec_context.codec.canonical_name
        is_raw = container.format.name in _RAW or not stream.time_base
        rate = frame_rate(container, stream) or Fraction(25)
        self.tick = 1 / rate if is_raw else Fraction(stream.time_base or 1)  # seconds
        self._frame_ticks = max(1, round(1 / rate / self.tick))

    def __iter__(self) -> Iterator[tuple[CodedPicture, VideoPacket]]:
        headers = HeaderReader(self.codec, self._stream.codec_context.extradata)
        is_unordered = self._container.format.name in _UNORDERED and self.codec in _RAW
        packets = self._demux()
        if is_unordered and self.codec == "h264":
            packets = restore_h264(packets, self._stream, self._frame_ticks)
        elif is_unordered:
            packets = restore_h265(packets, self._stream.codec_context.extradata, self._frame_ticks)
        second = int(1 / self.tick)
        latest: int | None = None
        shift = 0
        for number, packet in enumerate(_drop_cut_off(packets)):
            pts, dts = packet.pts, packet.dts
            if dts is not None:
                # If recordings were joined, timestamps start again: make them continue instead.
                if latest is not None and dts + shift < latest - second:
                    shift = latest + self._frame_ticks - dts
                dts += shift
                latest = dts
            if pts is not None:
                pts += shift
            else:
                pts = dts if dts is not None else number * self._frame_ticks
            header = headers.read(packet)
            is_key = packet.is_keyframe or self.codec == _TEST_PATTERN
            picture = CodedPicture(
                number=number,
                pts=pts,
                dts=dts,
                is_key=is_key,
                starts_closed_gop=is_key and header.resets_decoder,
                is_reference=is_key or header.is_reference,
                is_shown=header.is_shown and not packet.is_discard,
                is_damaged=packet.is_corrupt,
            )
            yield picture, packet

    def _demux(self) -> Iterator[VideoPacket]:
        start = (self._container.start_time or 0) / av.time_base
        index = self._stream.index
        streams = list(self._container.streams) if self._all_streams else [self._stream]
        ticks = {stream.index: float(stream.time_base or 0) for stream in streams}
        for packet in self._opened.demux(*streams):
            if not packet.size:
                continue
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * ticks[packet.stream_index] - start
                self.end_seconds = max(self.end_seconds, end)
            if packet.stream_index == index:
                yield cast("VideoPacket", packet)


def _drop_cut_off(packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
    """Yield the packets, except a last one that is damaged: it is a picture that was cut off."""
    held: VideoPacket | None = None
    for packet in packets:
        if held is not None:
            yield held
        held = packet if packet.is_corrupt else None
        if held is None:
            yield packet


def frame_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the average number of frames per second, None if it is unknown."""
    if container.format.name in _RAW:  # it has no clock, and FFmpeg assumes 25 frames per second
        return stream.guessed_rate
    return stream.average_rate or stream.guessed_rate

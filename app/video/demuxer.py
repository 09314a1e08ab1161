"""Read a recording's coded pictures, numbered and with timestamps that can be trusted."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer
from av.error import InvalidDataError
from av.stream import Stream
from av.video.stream import VideoStream

from .avi_index import AviIndex
from .bitstream.changes import CodecChange
from .bitstream.fields import FieldJoiner
from .bitstream.headers import HeaderReader, PictureHeader
from .bitstream.mpeg4 import unpack_b_frames
from .bitstream.timestamps import restore_timestamps
from .coded import CodedPicture, PictureGroup, VideoPacket
from .container import OpenContainer
from .errors import repeated_data_error
from .losses import LossFinder

_RAW = frozenset(["h264", "hevc"])  # formats without a container
UNTIMED = {
    "h264": _RAW,
    "hevc": _RAW,
    "avi": _RAW,
    "mpeg": _RAW,
    "asf": _RAW | {"mpeg1video", "mpeg2video"},
}
"""Formats whose timestamps do not tell the presentation order of pictures, and the codecs of these."""

_CLOCKED = frozenset(
    ["mpegts", "mpeg"]
)  # formats with the time of a clock, which joined recordings do not share
_LONGEST_PAUSE = 3600  # seconds that may pass in such a recording without a picture

_MAX_AHEAD = 64  # frames by which a picture may be decoded before it is shown

_MAX_READ_AGAIN = 8  # times that the bytes of a file may be read: edit lists show some of them again
_FREELY_READ = 64 * 2**20  # bytes that any file may give
_BY_INDEX = ("mov", "avi", "mxf", "wtv")  # formats that are read as an index says, so also again and again

_TEST_PATTERN = "wrapped_avframe"  # the codec of generated frames, each of which stands alone


class PictureDemuxer:
    """Iterates once over a video's coded pictures in decode order, each with its packet.

    A picture that is missing in the file, but has an entry in its index, has a packet of 0 bytes.
    `is_encrypted` says if a packet was. `end_seconds` is the end of the latest packet, counted from the
    container's start: of the video's packets, or of all packets with `all_streams`. `packets` counts those of
    the video. `last_place`: where the latest of them begins in the file, in bytes. `ends_within_picture`: the
    last picture was cut off, and left out. `ends_at_damage`: what follows the last picture cannot be read.
    `joins`: how often another recording began. `name` stands for the source in messages. `is_whole`: the
    container is at its beginning. Iterating raises READ_ERRORS and VideoError.
    """

    def __init__(
        self,
        opened: OpenContainer,
        name: str = "the recording",
        *,
        all_streams: bool = False,
        is_whole: bool = True,
    ) -> None:
        self._name = name
        self.end_seconds = 0.0
        self.packets = self.last_place = self.joins = 0
        self.ends_within_picture = self.ends_at_damage = False
        self.is_encrypted = "enc_key_id" in opened.stream.metadata
        self._fields = FieldJoiner(opened.stream.codec_context.extradata)
        self._opened = opened
        self._container = container = opened.container
        self._stream = stream = opened.stream
        self._all_streams = all_streams
        self._is_whole = is_whole
        self.codec = stream.codec_context.codec.canonical_name
        self._change = CodecChange(self.codec)
        self._avi_index: AviIndex | None = None
        if container.format.name == "avi":
            self._avi_index = AviIndex(stream, is_whole=is_whole)
        is_raw = container.format.name in _RAW or not stream.time_base
        rate = frame_rate(container, stream) or Fraction(25)
        self.tick = 1 / rate if is_raw else Fraction(stream.time_base or 1)  # seconds
        frame_ticks = Fraction(rate.denominator * self.tick.denominator, rate.numerator * self.tick.numerator)
        self._frame_ticks = max(1, round(frame_ticks))
        self._second = self.tick.denominator // self.tick.numerator  # in ticks, as the next
        self._longest_pause = int(_LONGEST_PAUSE / self.tick) if container.format.name in _CLOCKED else None
        lists_pictures = container.format.name == "avi" or stream.frames > 0
        self.loss_finder = None
        """Finds pictures that the demuxer could not read; None if the format has an index, or no times."""
        if not is_raw and not lists_pictures and self.codec != _TEST_PATTERN:
            is_alone = len(container.streams) == 1
            has_tables = container.format.name in _CLOCKED
            self.loss_finder = LossFinder(float(frame_ticks), is_alone=is_alone, has_tables=has_tables)

    @property
    def next_codec(self) -> str | None:
        """The name of the codec in which the recording goes on, which ended iterating."""
        return self._change.found

    @property
    def has_unlisted(self) -> bool:
        """Whether a picture of an AVI was not in its index: its time depends on where reading began."""
        return self._avi_index is not None and self._avi_index.has_unlisted

    @property
    def field_pairs(self) -> int:
        """The number of frames so far whose two fields came in two packets."""
        return self._fields.pairs

    def __iter__(self) -> Iterator[tuple[CodedPicture, VideoPacket]]:
        headers = HeaderReader(self.codec, self._stream.codec_context.extradata)
        packets = self._demux()
        if self.codec == "theora":
            packets = _date_setups(packets, headers)
        if self._container.format.name in _CLOCKED:
            packets = self._change.end(packets)
        if self.codec == "mpeg4":
            packets = unpack_b_frames(packets, self._stream)
        if self.codec == "h264":
            packets = self._fields.join(packets)
        if self.codec in UNTIMED.get(self._container.format.name, ()):
            pictures = (packet for packet in packets if not packet.size or headers.read(packet).is_shown)
            extradata = self._stream.codec_context.extradata
            packets = restore_timestamps(pictures, self.codec, extradata, self._frame_ticks)
        latest: int | None = None
        newest = shift = 0
        has_times = is_called_key = False
        # They store no decode timestamps, and those that FFmpeg makes are wrong after a join.
        invents_dts = self._container.format.name in ("matroska,webm", "nut")
        group = PictureGroup()
        for number, packet in enumerate(self._drop_cut_off(self._correct_times(packets))):
            pts, dts = packet.pts, packet.dts
            if dts is not None:
                # If recordings were joined, timestamps start again: make them continue instead.
                if latest is not None and self._is_join(latest, dts + shift):
                    shift = newest + self._frame_ticks - (dts if pts is None else pts)
                    self.joins += 1
                elif not has_times and number and (dts if pts is None else pts) <= newest:
                    # The pictures before had no time, as those before time 0 of Matroska.
                    shift = newest + self._frame_ticks - (dts if pts is None else pts)
                dts += shift
                latest = dts
            if pts is not None:
                pts += shift
            else:
                pts = dts if dts is not None else newest + self._frame_ticks * (number > 0)
            has_times = has_times or packet.pts is not None or dts is not None
            if dts is None or pts <= dts + _MAX_AHEAD * self._frame_ticks:  # it is not wrong
                newest = max(newest, pts) if number else pts
            header = headers.read(packet) if packet.size else PictureHeader()
            follows_key, is_called_key = is_called_key, packet.is_keyframe and not header.is_setup
            is_key = is_called_key and (
                not packet.size
                or headers.may_be_key(
                    packet, is_first=number == 0 and self._is_whole, follows_key=follows_key
                )
            )
            is_key = is_key or self.codec == _TEST_PATTERN
            if is_key:
                group = PictureGroup(is_closed=header.resets_decoder)
            picture = CodedPicture(
                number=number,
                pts=pts,
                dts=None if self.joins and invents_dts else dts,
                is_key=is_key,
                starts_closed_gop=is_key and header.resets_decoder,
                is_reference=is_key or header.is_reference,
                is_shown=header.is_shown and not packet.is_discard,
                is_damaged=packet.is_corrupt or not packet.size,
                is_missing=not packet.size,
                is_setup=header.is_setup,
                part=self.joins,
                group=group,
            )
            yield picture, packet

    def _is_join(self, dts: int, following: int) -> bool:
        """Return whether another recording begins between these decode timestamps."""
        return dts - following > self._second or (
            self._longest_pause is not None and following - dts > self._longest_pause
        )

    def _correct_times(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        """Yield the packets; correct a single time that is off by more than a second.

        Otherwise it would be taken for a join, and no time after it would be right.
        """
        before: int | None = None
        held: VideoPacket | None = None
        for packet in packets:
            if held is not None:
                wrong, following = held.dts, packet.dts
                if (
                    before is not None
                    and wrong is not None
                    and following is not None
                    and abs(wrong - before) > self._second
                    and before < following <= before + self._second
                ):
                    held.dts = (before + following) // 2
                    held.pts = held.dts if held.pts is None else held.dts + held.pts - wrong
                before = held.dts
                yield held
            held = packet
        if held is not None:
            yield held

    def _drop_cut_off(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        """Yield the packets, except a last one that is damaged: it is a picture that was cut off.

        Just before a join, a packet only looks damaged: its data are whole, but their numbering begins again.
        """
        held: list[VideoPacket] = []  # one that looks damaged, and the next
        for packet in packets:
            if held:
                last = held[-1].dts
                if last is not None and packet.dts is not None and self._is_join(last, packet.dts):
                    held[0].is_corrupt = False
                if len(held) == 2 or not held[0].is_corrupt:
                    yield from held
                    held.clear()
            if held or packet.is_corrupt:
                held.append(packet)
            else:
                yield packet
        if len(held) == 2:
            yield from held
        self.ends_within_picture = len(held) == 1

    def _demux(self) -> Iterator[VideoPacket]:
        start = (self._container.start_time or 0) / av.time_base
        index = self._stream.index
        every = list(self._container.streams)
        ticks = {
            stream.index: float(stream.time_base or 0)
            for stream in (every if self._all_streams else [self._stream])
        }
        is_by_index = self._container.format.name.startswith(_BY_INDEX)
        size = self._opened.identity.size if self._opened.identity and is_by_index else None
        allowed = None if size is None else max(_MAX_READ_AGAIN * size, _FREELY_READ)
        read = 0
        avi_index = self._avi_index
        # Of a file that is read by its index, the other streams are read in any case: they count, too.
        for packet in self._packets(every if is_by_index or self._all_streams else [self._stream]):
            if not packet.size:
                continue
            read += packet.size
            if allowed is not None and read > allowed:
                raise repeated_data_error(self._name)
            if packet.pts is not None and packet.stream_index in ticks:
                end = (packet.pts + (packet.duration or 0)) * ticks[packet.stream_index] - start
                self.end_seconds = max(self.end_seconds, end)
            if packet.stream_index == index:
                video = cast("VideoPacket", packet)
                self.packets += 1
                self.last_place = video.pos or self.last_place
                self.is_encrypted = self.is_encrypted or video.has_sidedata("encryption_info")
                if avi_index is not None:
                    yield from avi_index.skipped_before(video)
                yield video
        if avi_index is not None:
            yield from avi_index.skipped_at_end()

    def _packets(self, streams: Sequence[Stream]) -> "Iterator[av.Packet[Stream]]":
        """Yield the packets up to the end, or to data that cannot be read: what came before them is good."""
        try:
            yield from self._opened.demux(*streams)
        except (InvalidDataError, MemoryError):  # the latter if a damaged size is huge
            self.ends_at_damage = True


def _date_setups(packets: Iterator[VideoPacket], headers: HeaderReader) -> Iterator[VideoPacket]:
    """Give each packet without a picture the times of the next picture.

    FFmpeg counts the headers that come again in a joined Ogg as pictures, of the recording before or at
    negative times.
    """
    held: list[VideoPacket] = []
    for packet in packets:
        if packet.size and headers.read(packet).is_setup:
            held.append(packet)
            continue
        for setup in held:
            setup.pts, setup.dts = packet.pts, packet.dts
        yield from held
        held.clear()
        yield packet


def frame_rate(container: InputContainer, stream: VideoStream) -> Fraction | None:
    """Return the average number of frames per second, None if it is unknown."""
    if container.format.name in _RAW:  # it has no clock, and FFmpeg assumes 25 frames per second
        return stream.codec_context.framerate or stream.guessed_rate
    if container.format.name == "dv":  # its average is that of the clock's ticks
        return stream.guessed_rate
    return stream.average_rate or stream.guessed_rate

"""Recordings: every sampled frame under its exact ordinal, wherever decoding began."""

import time
from collections.abc import Iterator
from fractions import Fraction

from av.error import FFmpegError, InvalidDataError
from msgspec import Struct

from ..domain.media import Media
from ..domain.picture import Picture
from ..domain.source import Source
from ..domain.spec import CandidateFrames, FixedRate, Sampling
from .coded import CodedPicture, PresentationOrder, VideoPacket
from .container import OpenContainer
from .demuxer import PictureDemuxer
from .errors import READ_ERRORS, VideoError, no_ranges_error, read_error, unsupported_codec_error
from .lazy_decoder import LazyDecoder
from .length import DeclaredLength
from .pictures import AvPicture
from .sampling import Sampler, Shown, choose_eligible
from .transport.http_file import HttpFile

_BEGINNING = 300  # pictures that are looked at before it is chosen which to decode
_FIRST_PICTURE = 64  # pictures within which one can be decoded, unless the recording is damaged
_AHEAD = 64 * 2**20  # bytes of pictures that are held meanwhile, however few that are
_MARK_EVERY = 0.25  # seconds


class Sampled(Struct, frozen=True):
    """A frame to be stored: its picture, or the error for which it has none (exactly one of them is None).

    `frame` is its ordinal, from 0, in the order shown; `time` is in seconds since the first frame, and never
    less than that of a frame before.
    """

    frame: int
    time: float
    picture: Picture | None = None
    error: str | None = None


class Settled(Struct, frozen=True):
    """Every frame before `end` is settled: it was yielded earlier, or is not sampled.

    `time` is the position reached, in seconds. Comes at least every 0.25 s of work and last of all, where
    `end` is the number of frames in the recording; `end` never shrinks, and may repeat.
    """

    end: int
    time: float


class Recording:
    """A video with an end. Not thread safe: used by the thread that opened it.

    `media` has the size of the pictures, which is that of the video turned upright.
    """

    def __init__(self, opened: OpenContainer, source: Source) -> None:
        """Reads as far as the first picture. Raises VideoError."""
        self._opened = opened
        self._source = source
        self._length = DeclaredLength(opened.container, opened.stream, source)
        self._packets = PictureDemuxer(opened, all_streams=self._length.covers_all_streams)
        self._incoming = iter(self._packets)
        self._beginning: list[tuple[CodedPicture, VideoPacket]] = []
        self._ahead = 0
        self._decoder = LazyDecoder(opened.stream.codec_context)
        picture = self._first_picture()
        self.media = Media(
            width=picture.width if picture else opened.stream.width,
            height=picture.height if picture else opened.stream.height,
            fps=self._length.rate,
            frames=self._length.frames,
            duration_seconds=self._length.seconds,
        )

    def choose_eligible(self, sampling: Sampling) -> CandidateFrames:
        """Which frames `sampling` is to choose from: decided once for a scenario, then kept with it."""
        if isinstance(sampling, FixedRate):
            while len(self._beginning) < _BEGINNING and self._ahead < _AHEAD and self._look_ahead():
                pass
        # A key frame of H.264 that is not clean may need the pictures after it to become whole.
        lone = self._packets.codec != "h264"
        shown = sorted(
            (coded.pts, coded.is_key and (lone or coded.starts_closed_gop), coded.is_reference)
            for coded, _ in self._beginning
            if coded.is_shown
        )
        return choose_eligible(sampling, [Shown(*frame) for frame in shown], self._packets.tick)

    def frames(
        self, sampling: Sampling, eligible: CandidateFrames, start: int = 0
    ) -> Iterator[Sampled | Settled]:
        """The sampled frames from ordinal `start` on, in order. To be called once.

        Nothing is decoded ahead of what is asked for, but for the decoder's own threads. Pictures and
        ordinals do not depend on `start`. Raises VideoError where reading fails, and TruncatedError, once
        every readable frame was yielded, where the recording ends before it should.
        """
        tick = self._packets.tick
        sampler = Sampler(sampling, tick)
        decoder = self._decoder
        decoder.start(from_beginning=start == 0, keys_only=eligible == "key")
        order = PresentationOrder()
        first = end = ticks = highest = received = 0
        whole = -1  # the last frame that is there in full
        marked = time.monotonic()

        def settle(coded: CodedPicture) -> None:
            nonlocal first, end, ticks, highest, whole
            if end == 0:
                first = coded.pts
            ticks = coded.pts - first
            # Predictions are found by time: a wrong timestamp may not make those after it decrease.
            highest = max(highest, ticks)
            coded.ordinal, coded.elapsed_ticks = end, highest
            if _chosen(coded, eligible):
                taken = sampler.take(ticks)
                decoder.set_wanted(coded, is_wanted=taken and end >= start)
            if not coded.is_damaged:
                whole = end
            end += 1

        def position() -> Settled:
            awaited = decoder.next_wanted
            return Settled(max(start, awaited.ordinal if awaited else end), _seconds(highest, tick))

        for coded, packet in self._pictures():
            received += 1
            if _chosen(coded, eligible):
                decoder.add(coded, packet)
            for shown in order.push(coded):
                settle(shown)
                for ready in decoder.take_ready():
                    yield _sampled(ready, tick)
                    marked = time.monotonic()
            if time.monotonic() - marked >= _MARK_EVERY:
                yield position()
                marked = time.monotonic()
        for shown in order.flush():
            settle(shown)
        decoder.flush()
        for ready in decoder.take_ready():
            yield _sampled(ready, tick)
        yield position()
        if end == 0:
            if isinstance(self._opened.remote, HttpFile) and not self._opened.remote.seekable():
                raise no_ranges_error(self._source.redacted)
            raise VideoError(f"{self._source.redacted} holds no frames", retryable=False)
        self._length.check_complete(received, self._packets.end, whole, _seconds(ticks, tick))

    def _pictures(self) -> Iterator[tuple[CodedPicture, VideoPacket]]:
        self._beginning.reverse()
        while self._beginning:
            yield self._beginning.pop()
        while picture := self._next():
            yield picture

    def _look_ahead(self) -> "tuple[CodedPicture, VideoPacket] | None":
        """The next picture, which is held until it is read."""
        picture = self._next()
        if picture is not None:
            self._beginning.append(picture)
            self._ahead += picture[1].size
        return picture

    def _next(self) -> "tuple[CodedPicture, VideoPacket] | None":
        """The next picture in file order, None at the end. Raises VideoError."""
        try:
            picture = next(self._incoming, None)
        except InvalidDataError:
            self._length.is_damaged = True
            picture = None
        except READ_ERRORS as error:
            raise read_error(error, self._source) from error
        return picture

    def _first_picture(self) -> AvPicture | None:
        """Decode until there is one: only pictures tell their size, and which way is up."""
        try:
            self._opened.stream.codec_context.open(strict=False)
        except (FFmpegError, ValueError) as error:
            raise unsupported_codec_error(self._source.redacted) from error
        frame = None
        while frame is None and len(self._beginning) < _FIRST_PICTURE and self._ahead < _AHEAD:
            if picture := self._look_ahead():
                self._decoder.decode_early(*picture)
            else:
                self._decoder.flush()
            frame = next((coded.frame for coded, _ in self._beginning if coded.frame), None)
            if picture is None:
                break
        return AvPicture(frame) if frame else None


def _chosen(coded: CodedPicture, eligible: CandidateFrames) -> bool:
    return eligible == "all" or coded.is_key or (eligible == "reference" and coded.is_reference)


def _seconds(ticks: int, tick: Fraction) -> float:
    return ticks * tick.numerator / tick.denominator


def _sampled(coded: CodedPicture, tick: Fraction) -> Sampled:
    seconds = _seconds(coded.elapsed_ticks, tick)
    if coded.frame is None:
        return Sampled(coded.ordinal, seconds, error="the frame could not be decoded")
    if coded.is_damaged or coded.frame.is_corrupt:
        return Sampled(coded.ordinal, seconds, error="the frame's data is damaged")
    return Sampled(coded.ordinal, seconds, picture=AvPicture(coded.frame))

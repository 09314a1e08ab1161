"""Live sources: received frames, and reconnection when they stop coming."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from fractions import Fraction
from threading import Event
from typing import Literal

import av
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from msgspec import Struct

from ..domain.media import Media
from ..domain.picture import Image, Picture
from ..domain.source import Source
from ..domain.spec import KeyframesOnly, Sampling
from .coded import VideoPacket
from .container import OpenContainer
from .errors import READ_ERRORS, VideoError, read_error
from .pictures import AvPicture
from .sampling import Sampler

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 4.0  # seconds between tries to open
_BLIND, _BLINDED = 60.0, 6.0  # seconds of packets without a frame, at first and later, that are put up with
_FROZEN = 4.5  # seconds of one and the same key frame: seen within 9 where these come up to 3 s apart
_LOOK_EVERY = 0.5  # seconds
_MOST_AHEAD = 60.0  # seconds; timestamps further ahead are a jump, which nobody waits for
_MICROSECOND = Fraction(1, 1_000_000)


class Received(Struct, frozen=True):
    """A frame from a live source. `received` is `time.monotonic()` when it came.

    `picture` is there where it is sampled; the others are only to be counted.
    """

    received: float
    picture: Picture | None
    sampled: bool


class SourceState(Struct, frozen=True):
    """What became of the source.

    It is `open` from its first frame on, `frozen` while its pictures do not change at all, and `reconnecting`
    where it was lost for `error`. `media` comes with the first `open` of each connection.
    """

    state: Literal["open", "frozen", "reconnecting"]
    error: str | None = None
    media: Media | None = None


class Camera:
    """A video without an end. Not thread safe: used by the thread that opened it."""

    def __init__(
        self,
        source: Source,
        connect: Callable[[], AbstractContextManager[OpenContainer]],
        stop: Event,
        stack: ExitStack,
        opened: OpenContainer | None,
    ) -> None:
        """`stack` holds what is open, `opened` the first of it, if that could be opened already."""
        self._source = source
        self._connect = connect
        self._stop = stop
        self._stack = stack
        self._opened = opened

    def frames(self, sampling: Sampling) -> Iterator[Received | SourceState]:
        """Everything received until `stop` is set, reconnecting with a backoff of 0.25 to 4 s. Call it once.

        The first item is a SourceState. Frames that came damaged are left out. Every other frame comes,
        sampled or not, so that they can be numbered as received.
        """
        sampler = Sampler(sampling, _MICROSECOND)
        keys_only = isinstance(sampling, KeyframesOnly)
        begin: float | None = None
        wait = _FIRST_WAIT
        while not self._stop.is_set():
            is_open = False
            stillness = _Stillness()
            error = f"{self._source.redacted} ended"
            try:
                opened = self._open()
                for arrived, frame in self._arrivals(opened, keys_only=keys_only):
                    if not is_open:
                        if frame is None:
                            continue
                        is_open, wait = True, _FIRST_WAIT
                        yield SourceState("open", media=_media(opened, AvPicture(frame)))
                    if frame is not None and self._source.kind != "test" and stillness.look(arrived, frame):
                        yield SourceState("frozen" if stillness.is_frozen else "open")
                    if begin is None:
                        begin = arrived
                    sampled = frame is not None and sampler.take(int((arrived - begin) / _MICROSECOND))
                    yield Received(arrived, AvPicture(frame) if frame and sampled else None, sampled)
            except VideoError as fault:
                error = str(fault)
            self._stack.close()
            if not self._stop.is_set():
                yield SourceState("reconnecting", error)
                self._stop.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    def _open(self) -> OpenContainer:
        opened, self._opened = self._opened, None
        return opened or self._stack.enter_context(self._connect())

    def _arrivals(
        self, opened: OpenContainer, *, keys_only: bool
    ) -> Iterator[tuple[float, av.VideoFrame | None]]:
        """When each frame came, and the frame, unless only key frames are decoded and it is none."""
        pace = _Pace(self._stop) if opened.is_bursty else None
        seen, patience = time.monotonic(), _BLIND
        try:
            for packet in opened.demux(opened.stream):
                if pace and packet.pts is not None:
                    pace.wait(float(packet.pts * packet.time_base))
                if self._stop.is_set():
                    return
                if keys_only and not packet.is_keyframe:
                    yield time.monotonic(), None
                    continue
                frames = _decode(opened.stream.codec_context, packet, alone=keys_only)
                now = time.monotonic()
                if frames:
                    seen, patience = now, _BLINDED
                elif now - seen > patience:
                    raise VideoError(
                        f"{self._source.redacted} sends nothing that can be decoded", retryable=True
                    )
                for frame in frames:
                    if not frame.is_corrupt:
                        yield now, frame
        except READ_ERRORS as error:
            raise read_error(error, self._source) from error


class _Stillness:
    """Tells whether one and the same picture comes again and again, bit for bit.

    Only key frames are compared. Between them an encoder leaves out noise that it finds too faint, and shows
    what stands still a little better each time, until the next key frame begins as the last one did.
    """

    def __init__(self) -> None:
        self.is_frozen = False
        self._picture: Image | None = None
        self._since = self._looked = 0.0

    def look(self, now: float, frame: av.VideoFrame) -> bool:
        """Whether the picture has just frozen, or just moved again."""
        if not frame.key_frame or now - self._looked < _LOOK_EVERY:
            return False
        self._looked = now
        picture = AvPicture(frame).gray()
        was_frozen = self.is_frozen
        if self._picture is not None and np.array_equal(picture, self._picture):
            self.is_frozen = now - self._since >= _FROZEN
        else:
            self.is_frozen = False
            self._picture, self._since = picture, now
        return self.is_frozen != was_frozen


class _Pace:
    """Spreads over time what comes in bursts, as the segments of a live playlist do."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._lead: float | None = None  # of the video's clock over ours

    def wait(self, shown: float) -> None:
        """Return once the frame of this time is due, in seconds of the video's clock."""
        now = time.monotonic()
        if self._lead is None or not 0 <= shown - self._lead - now <= _MOST_AHEAD:
            self._lead = shown - now
        self._stop.wait(shown - self._lead - now)


def _decode(context: VideoCodecContext, packet: VideoPacket, *, alone: bool) -> list[av.VideoFrame]:
    frames: list[av.VideoFrame] = []
    with suppress(FFmpegError):
        frames += context.decode(packet)
        if alone and packet.size:
            frames += context.decode(None)
            context.flush_buffers()
    return frames


def _media(opened: OpenContainer, picture: AvPicture) -> Media:
    rate = opened.stream.average_rate or opened.stream.guessed_rate
    return Media(width=picture.width, height=picture.height, fps=float(rate) if rate else None, live=True)

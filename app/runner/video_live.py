"""Live sources: received frames, and reconnection when they stop coming."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from fractions import Fraction
from threading import Event
from typing import Literal

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from msgspec import Struct

from app.runner.frames import Picture
from app.runner.picture import AvPicture
from app.runner.sampling import Sampler
from app.runner.video_container import Opened
from app.runner.video_errors import READ_ERRORS, VideoError, explain
from app.runner.video_packets import Packet
from app.scenario import Keyframes, Media, Sampling
from app.source import Source

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 4.0  # seconds between tries to open
_BLIND = 60.0  # seconds of packets without a frame, after which the source counts as lost
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
    """The source gave its first frame since it was opened, or was lost for `error` and is being opened again.

    `media` comes with `open`.
    """

    state: Literal["open", "reconnecting"]
    error: str | None = None
    media: Media | None = None


class Camera:
    """A video without an end. Not thread safe: used by the thread that opened it."""

    def __init__(
        self,
        source: Source,
        connect: Callable[[], AbstractContextManager[Opened]],
        stop: Event,
        stack: ExitStack,
        opened: Opened | None,
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
        keys_only = isinstance(sampling, Keyframes)
        begin: float | None = None
        wait = _FIRST_WAIT
        while not self._stop.is_set():
            is_open = False
            error = f"{self._source.redacted} ended"
            try:
                opened = self._open()
                for arrived, frame in self._arrivals(opened, keys_only=keys_only):
                    if not is_open:
                        if frame is None:
                            continue
                        is_open, wait = True, _FIRST_WAIT
                        yield SourceState("open", media=_media(opened, AvPicture(frame)))
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

    def _open(self) -> Opened:
        opened, self._opened = self._opened, None
        return opened or self._stack.enter_context(self._connect())

    def _arrivals(self, opened: Opened, *, keys_only: bool) -> Iterator[tuple[float, av.VideoFrame | None]]:
        """When each frame came, and the frame, unless only key frames are decoded and it is none."""
        pace = _Pace(self._stop) if opened.paced else None
        heard = time.monotonic()
        try:
            for packet in opened.demux(opened.stream):
                if pace and packet.pts is not None:
                    pace.wait(float(packet.pts * packet.time_base))
                if self._stop.is_set():
                    return
                if keys_only and not packet.is_keyframe:
                    heard = time.monotonic()
                    yield heard, None
                    continue
                frames = _decode(opened.stream.codec_context, packet, alone=keys_only)
                now = time.monotonic()
                if frames:
                    heard = now
                elif now - heard > _BLIND:
                    raise VideoError(
                        f"{self._source.redacted} sends nothing that can be decoded", retryable=True
                    )
                for frame in frames:
                    if not frame.is_corrupt:
                        yield now, frame
        except READ_ERRORS as error:
            raise explain(error, self._source) from error


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


def _decode(context: VideoCodecContext, packet: Packet, *, alone: bool) -> list[av.VideoFrame]:
    frames: list[av.VideoFrame] = []
    with suppress(FFmpegError):
        frames += context.decode(packet)
        if alone and packet.size:
            frames += context.decode(None)
            context.flush_buffers()
    return frames


def _media(opened: Opened, picture: AvPicture) -> Media:
    rate = opened.stream.average_rate or opened.stream.guessed_rate
    return Media(width=picture.width, height=picture.height, fps=float(rate) if rate else None, live=True)

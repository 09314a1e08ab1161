"""Read live sources: number the frames received, and reconnect when they stop coming."""

import math
import random
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
from ..domain.picture import Image
from ..domain.reason import SourceLoss
from ..domain.sampling import KeyframesOnly, Sampling
from ..domain.source import Source
from .coded import VideoPacket
from .container import OpenContainer
from .errors import READ_ERRORS, VideoError, read_error
from .facts import describe
from .pictures import AvPicture
from .reading import SampledFrame, Watermark
from .sampling import Sampler
from .transport.snapshots import Snapshots

_MIN_BACKOFF, _MAX_BACKOFF = 0.25, 4.0  # seconds between tries to open
_FIRST_FRAME_WITHIN = 60.0  # seconds of packets; each key frame too, if nothing else is decoded
_NEXT_FRAME_WITHIN = 6.0  # seconds of packets
_MAX_PATIENCE = 30.0  # seconds without data from a camera that sends a picture now and then
_FROZEN = 4.5  # seconds of an unchanged key frame; noticed within 9 s if key frames come up to 3 s apart
_COMPARE_EVERY = 0.5  # seconds
_MAX_AHEAD = 60.0  # seconds; a timestamp further ahead is a jump, which is not waited for
_TELL_SIZE_EVERY = 1.0  # seconds, in which a size that changes all the time is told once
_TELL_POSITION_EVERY = 1.0  # seconds without a sampled frame
_MICROSECOND = Fraction(1, 1_000_000)


class CameraStatus(Struct, frozen=True):
    """A change of a live source.

    It is `open` from its first frame on, `frozen` while its pictures do not change at all, and `reconnecting`
    after it was lost at `lost_at`, in seconds of `time.monotonic()`. `media` comes with the first `open` of
    each connection, and again when the size of its pictures changes. `patience`, in seconds, is for how long
    it may be silent, as its loss taught.
    """

    state: Literal["open", "frozen", "reconnecting"]
    media: Media | None = None
    loss: SourceLoss | None = None
    lost_at: float = 0.0
    patience: float | None = None


class Camera:
    """A video without an end. Not thread safe: used by the thread that opened it."""

    def __init__(
        self,
        source: Source,
        connect: Callable[..., AbstractContextManager[OpenContainer]],
        stop: Event,
        stack: ExitStack,
        opened: OpenContainer | None,
        *,
        is_persistent: bool,
        read_timeout: float,
        patience: float | None = None,
    ) -> None:
        """`connect` takes a `read_timeout`, in seconds; a camera that sends few pictures gets a longer one,
        which is `patience` at first if that is known.

        `stack` holds what is open; `opened` is the first connection, if there is one already.

        Unless `is_persistent`, failures before the first picture are not waited out.
        """
        self._source = source
        self._connect = connect
        self._stop = stop
        self._stack = stack
        self._opened = opened
        self._is_persistent = is_persistent
        self._read_timeout = read_timeout
        self._patience = patience or read_timeout

    def frames(
        self, sampling: Sampling, first_frame: int = 0, unix_offset: float = 0.0
    ) -> Iterator[SampledFrame | Watermark | CameraStatus]:
        """Yield what is received until `stop` is set, reconnecting with a spread backoff of 0.25 to 4 s.

        Call it once. A CameraStatus comes first. Frames are numbered from `first_frame` on as they come; one
        that comes damaged is not counted. If none was sampled for a second, a Watermark tells their number.
        Their time is `time.monotonic()` on arrival plus `unix_offset`, in seconds.

        Raises:
            VideoError: it failed before the first picture, and is not persistent.
        """
        number = told = first_frame
        position_at = -math.inf  # the last entry
        sampler = Sampler(sampling, _MICROSECOND)
        keys_only = isinstance(sampling, KeyframesOnly)
        begin: float | None = None
        backoff = _MIN_BACKOFF
        lost_at, tries = time.monotonic(), 0
        while not self._stop.is_set():
            is_open = False
            size: tuple[int, int] | None = None
            told_at = -math.inf
            stillness, rhythm = _Stillness(), _Rhythm()
            fault = VideoError(f"{self._source.redacted} ended", retryable=True)
            try:
                opened = self._open()
                if opened.proxy is not None:
                    opened.proxy.gather_for(sampling)
                takes_all = isinstance(opened.remote, Snapshots) and opened.remote.poll_at(sampling)
                for arrived, frame in self._arrivals(opened, keys_only=keys_only):
                    rhythm.note(arrived)
                    if not is_open:
                        if frame is None:
                            continue
                        is_open, backoff = True, _MIN_BACKOFF
                    if (
                        frame is not None
                        and (frame.width, frame.height) != size
                        and arrived - told_at >= _TELL_SIZE_EVERY
                    ):
                        yield CameraStatus("open", media=_media(opened, frame, is_first=size is None))
                        size, told_at = (frame.width, frame.height), arrived
                    if (
                        frame is not None
                        and self._source.kind != "test"
                        and stillness.compare(arrived, frame)
                    ):
                        yield CameraStatus("frozen" if stillness.is_frozen else "open")
                    if begin is None:
                        begin = arrived
                    ticks = int((arrived - begin) / _MICROSECOND)
                    number += 1
                    if frame is not None and (takes_all or sampler.take(ticks)):
                        yield SampledFrame(number - 1, arrived + unix_offset, picture=AvPicture(frame))
                        told, position_at = number, arrived
                    elif arrived - position_at >= _TELL_POSITION_EVERY:
                        yield Watermark(number, arrived + unix_offset)
                        told, position_at = number, arrived
            except VideoError as error:
                fault = error.without_traceback()
            self._stack.close()
            if number > told:
                yield Watermark(number, arrived + unix_offset)
                told, position_at = number, arrived
            if is_open:
                self._patience = rhythm.patience(self._read_timeout, self._patience)
            lost_at, tries = (time.monotonic(), 0) if is_open else (lost_at, tries + 1)
            if not self._stop.is_set():
                if begin is None and not self._is_persistent:
                    raise fault
                loss = _loss(fault, tries)
                yield CameraStatus("reconnecting", loss=loss, lost_at=lost_at, patience=self._patience)
                # Spread, so that cameras that are lost together do not all come back at the same moment.
                spread = backoff * random.uniform(0.5, 1.0)  # noqa: S311  not a secret
                self._stop.wait(max(spread, fault.retry_after))
                backoff = min(2 * backoff, _MAX_BACKOFF)

    def _open(self) -> OpenContainer:
        opened, self._opened = self._opened, None
        opened = opened or self._stack.enter_context(self._connect(read_timeout=self._patience))
        if (
            not opened.is_live
        ):  # as the playlist of a broadcast that is over: it would be read again and again
            raise VideoError(
                f"{self._source.redacted} was live, and is a recording with an end now:"
                " create a scenario for the recording, or wait until it is live again",
                retryable=True,
            )
        return opened

    def _arrivals(
        self, opened: OpenContainer, *, keys_only: bool
    ) -> Iterator[tuple[float, av.VideoFrame | None]]:
        """Yield when each frame came, and the frame; None for one that is not decoded."""
        pace = _Pace(self._stop) if opened.is_bursty else None
        now = seen = time.monotonic()
        limit = _FIRST_FRAME_WITHIN
        try:
            for packet in opened.demux(opened.stream):
                if pace and packet.pts is not None:
                    pace.wait(float(packet.pts * packet.time_base))
                if self._stop.is_set():
                    return
                is_skipped = keys_only and not packet.is_keyframe
                context = opened.stream.codec_context
                frames = [] if is_skipped else _decode(context, packet, alone=keys_only)
                now = time.monotonic()
                if frames:
                    seen, limit = now, _NEXT_FRAME_WITHIN
                elif now - seen > (_FIRST_FRAME_WITHIN if is_skipped else limit):
                    what = "no key frame" if is_skipped else "nothing that can be decoded"
                    raise VideoError(f"{self._source.redacted} sends {what}", retryable=True)
                if is_skipped:
                    yield now, None
                for frame in frames:
                    if not frame.is_corrupt:
                        yield now, frame
        except (VideoError, *READ_ERRORS) as error:
            # Without a segment or packet after them, the decoder holds the last pictures back.
            if not keys_only and not self._stop.is_set():
                for frame in _decode(opened.stream.codec_context, None, alone=False):
                    if not frame.is_corrupt:
                        yield now, frame
            if isinstance(error, VideoError):
                raise
            raise read_error(error, self._source) from error


class _Stillness:
    """Notices that the same picture comes again and again, bit for bit.

    Only key frames are compared. Between them an encoder leaves out faint noise and refines what stands
    still, until the next key frame begins as the last one did.
    """

    def __init__(self) -> None:
        self.is_frozen = False
        self._picture: Image | None = None
        self._since = self._compared = 0.0

    def compare(self, now: float, frame: av.VideoFrame) -> bool:
        """Return whether the picture has just frozen, or just moved again."""
        if not frame.key_frame or now - self._compared < _COMPARE_EVERY:
            return False
        self._compared = now
        picture = AvPicture(frame).gray()
        was_frozen = self.is_frozen
        if self._picture is not None and np.array_equal(picture, self._picture):
            self.is_frozen = now - self._since >= _FROZEN
        else:
            self.is_frozen = False
            self._picture, self._since = picture, now
        return self.is_frozen != was_frozen


class _Rhythm:
    """Measures how long a camera takes from one picture to the next, for one connection."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._last = self._longest = 0.0

    def note(self, now: float) -> None:
        """Count a picture that arrived at this time."""
        if self._first is None:
            self._first = now
        else:
            self._longest = max(self._longest, now - self._last)
        self._last = now

    def patience(self, least: float, before: float) -> float:
        """Return how long the next connection may be silent, in seconds, given how long this one might be.

        If it lasted for a short time, it may have been the next picture that was not waited for.
        """
        lasted = 0.0 if self._first is None else self._last - self._first
        wanted = 2.5 * self._longest if lasted > 2 * before else 2 * before
        return max(least, min(wanted, _MAX_PATIENCE))


class _Pace:
    """Spreads packets over time that come in bursts, as the segments of a live playlist do."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._lead: float | None = None  # seconds by which the video's clock is ahead of ours

    def wait(self, shown: float) -> None:
        """Wait until the frame that is shown at this time of the video's clock (seconds) is due."""
        now = time.monotonic()
        if self._lead is None or not 0 <= shown - self._lead - now <= _MAX_AHEAD:
            self._lead = shown - now
        self._stop.wait(shown - self._lead - now)


def _decode(context: VideoCodecContext, packet: "VideoPacket | None", *, alone: bool) -> list[av.VideoFrame]:
    """Return the frames of a packet, None: those that the decoder holds back."""
    frames: list[av.VideoFrame] = []
    with suppress(FFmpegError):
        frames += context.decode(packet)
        if alone and packet is not None and packet.size:
            frames += context.decode(None)
            context.flush_buffers()
    return frames


def _loss(fault: VideoError, tries: int) -> SourceLoss:
    error = str(fault)
    if fault.retry_after:
        error += f" (it is tried again every {fault.retry_after / 60:.0f} minutes)"
    return SourceLoss(error, tries)


def _media(opened: OpenContainer, frame: av.VideoFrame, *, is_first: bool) -> Media:
    has_clock = opened.container.format.name != "mpjpeg"  # FFmpeg assumes 25 frames per second
    stream = opened.stream
    rate = stream.average_rate or stream.guessed_rate if has_clock else None
    media = Media(width=0, height=0, fps=float(rate) if rate else None, live=True)
    pixel_aspect = None if is_first else stream.codec_context.sample_aspect_ratio or Fraction(1)
    return describe(opened, frame, media, pixel_aspect)

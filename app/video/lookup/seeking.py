"""Seek to a frame of a recording by its time, and prove by counting that it is the frame."""

import time
from collections.abc import Iterator
from fractions import Fraction

from msgspec import Struct

from ...domain.sampling import CandidateFrames
from ..coded import CodedPicture, PresentationOrder, VideoPacket
from ..container import OpenContainer
from ..demuxer import PictureDemuxer
from ..lazy_decoder import LazyDecoder

_STEP = 1.0  # seconds to seek back by if reading must begin earlier; twice as much each time
_MOST_STEPS = 10


class SeekTimeoutError(Exception):
    """The time for seeking is over."""


class _UnprovenError(Exception):
    """It cannot be proved which frame the picture is."""


class _BeginsTooLateError(Exception):
    """Reading must begin before this picture."""

    def __init__(self, picture: CodedPicture) -> None:
        super().__init__()
        self.ticks = picture.pts if picture.dts is None else min(picture.pts, picture.dts)


class _Times(Struct, frozen=True):
    """When frames are shown, in ticks: the first one in the file, the one before the wanted one, this one."""

    opening: int
    before: int
    wanted: int


class FrameSeeker:
    """Finds a frame in a container that was just opened, with an open decoder.

    Decoding begins where a run's would, so the picture is the one that was analysed: at a key frame that
    starts a closed group, or else at the key frame before it.
    """

    def __init__(self, opened: OpenContainer, candidates: CandidateFrames, until: float) -> None:
        """`until` is in seconds of `time.monotonic()`."""
        self._opened = opened
        self._stream = opened.stream
        self._keys_only = candidates == "key"
        self._until = until
        self._tick = Fraction(opened.stream.time_base or 1)
        # FFmpeg refuses to seek before the beginning of an AVI, and goes to the beginning of others.
        self._least = 0 if opened.container.format.name == "avi" else -(2**62)

    def find(self, before: float, wanted: float, distance: int) -> CodedPicture | None:
        """Return the frame at `wanted` seconds, decoded, or None if this cannot prove that it is the one.

        It must be the only one at exactly that time, and come `distance` frames after the only one at exactly
        `before` seconds.

        Raises:
            SeekTimeoutError: the time is over.
            FFmpegError: seeking or reading failed.
        """
        try:
            times = self._in_ticks(before, wanted)
            place, step = times.before, int(_STEP / self._tick) + 1
            for _ in range(_MOST_STEPS):
                self._opened.container.seek(place, stream=self._stream, backward=True)
                try:
                    return self._look(times, distance)
                except _BeginsTooLateError as error:
                    place, step = max(self._least, min(place, error.ticks) - step), 2 * step
        except _UnprovenError:
            pass
        return None

    def _in_ticks(self, before: float, wanted: float) -> _Times:
        ticks = [round(seconds / self._tick) for seconds in (before, wanted)]
        if [count * self._tick.numerator / self._tick.denominator for count in ticks] != [before, wanted]:
            raise _UnprovenError
        order, opening = PresentationOrder(), None
        for coded, _ in self._pictures(is_whole=True):
            opening = coded.pts if opening is None else opening
            for first in order.push(coded):
                return _Times(opening, first.pts + ticks[0], first.pts + ticks[1])
        for first in order.flush():
            return _Times(first.pts, first.pts + ticks[0], first.pts + ticks[1])
        raise _UnprovenError

    def _look(self, times: _Times, distance: int) -> CodedPicture:
        """Return the frame, reading on from here. Raises _UnprovenError, or _BeginsTooLateError."""
        decoder = LazyDecoder(self._stream.codec_context)
        decoder.start(from_beginning=False, keys_only=self._keys_only)
        wanted: CodedPicture | None = None
        count = at_before = 0
        keys: list[CodedPicture] = []
        for shown in self._shown(times, decoder):
            if shown.pts > times.wanted:
                break
            at_before += shown.pts == times.before
            count += times.before <= shown.pts < times.wanted
            if shown.is_key:
                keys.append(shown)
            is_wanted = shown.pts == times.wanted
            if is_wanted:
                if wanted is not None or count != distance or at_before != 1:
                    raise _UnprovenError
                self._check_start(keys, times)
                wanted = shown
            if self._is_needed(shown, times):
                decoder.set_wanted(shown, is_wanted=is_wanted)
        decoder.flush()
        if wanted is None or wanted.frame is None or wanted.is_damaged or wanted.group.is_damaged:
            raise _UnprovenError
        if wanted.frame.is_corrupt:
            raise _UnprovenError
        return wanted

    def _check_start(self, keys: list[CodedPicture], times: _Times) -> None:
        """Raise _BeginsTooLateError if decoding would not begin where a run's would."""
        if not keys:  # an edit list leaves out the key frame, so reading must begin at the beginning
            raise _UnprovenError
        if self._keys_only or keys[-1].starts_closed_gop or len(keys) > 1 or keys[0].pts == times.opening:
            return
        raise _BeginsTooLateError(keys[0])

    def _is_needed(self, picture: CodedPicture, times: _Times) -> bool:
        if self._keys_only:
            return picture.is_key
        return picture.is_reference or picture.pts == times.wanted

    def _shown(self, times: _Times, decoder: LazyDecoder) -> Iterator[CodedPicture]:
        """Yield the pictures from here on as they are shown; the decoder holds what it may need of them."""
        order = PresentationOrder()
        has_begun = False
        for coded, packet in self._pictures(is_whole=False):
            if not has_begun and coded.pts > times.before:
                raise _BeginsTooLateError(coded)
            has_begun = has_begun or coded.is_key
            if not has_begun:
                continue
            if self._is_needed(coded, times):
                decoder.add(coded, packet)
            yield from order.push(coded)
        yield from order.flush()

    def _pictures(self, *, is_whole: bool) -> Iterator[tuple[CodedPicture, VideoPacket]]:
        """Yield the pictures from here on in decode order; `is_whole`: from the beginning.

        Raises _UnprovenError if times are corrected or uncertain, or pictures are missing.
        """
        demuxer = PictureDemuxer(self._opened, is_whole=is_whole)
        for coded, packet in demuxer:
            if time.monotonic() > self._until:
                raise SeekTimeoutError
            if packet.pts != coded.pts or coded.part or coded.is_missing or demuxer.has_unlisted:
                raise _UnprovenError
            yield coded, packet

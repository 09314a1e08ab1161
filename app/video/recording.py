"""Read recordings: every sampled frame under its exact ordinal, wherever decoding began."""

import time
from collections.abc import Iterator
from fractions import Fraction

import av
from av.error import FFmpegError, InvalidDataError

from ..domain.media import Media
from ..domain.pins import FileIdentity
from ..domain.reason import ScenarioWarning
from ..domain.sampling import CandidateFrames, FixedRate, Sampling
from ..domain.source import Source
from .coded import CodedPicture, PresentationOrder, VideoPacket
from .colours import is_matrix_supported
from .container import OpenContainer
from .demuxer import PictureDemuxer
from .errors import (
    READ_ERRORS,
    VideoError,
    encrypted_error,
    no_ranges_error,
    nothing_decoded_error,
    read_error,
    unsupported_codec_error,
)
from .facts import describe
from .files import WatchedFile
from .lazy_decoder import LazyDecoder
from .length import DeclaredLength
from .orientation import orientation_of
from .pictures import AvPicture
from .reading import SampledFrame, Watermark
from .sampling import ProbedFrame, Sampler, choose_candidates
from .tracks import PICTURE_CODECS
from .transport.http_file import HttpFile

_PROBED = 300  # pictures that are read before the candidate frames are chosen
_FIRST_PICTURE = 64  # pictures within which one can be decoded, unless the recording is damaged
_PROBED_BYTES = 64 * 2**20  # the most that these pictures may take in memory
_WATERMARK_EVERY = 0.25  # seconds
_UNSUPPORTED_COLOURS = (
    "the recording's colours are coded in a way that is not supported, such as ICtCp of Dolby Vision: the"
    " brightness of pictures is about right, their colours are not"
)
_ODD_ROTATION = (
    "the recording asks players to turn or distort its picture by other than quarter turns and mirror images:"
    " it was analysed as it is stored"
)


class Recording:
    """A video with an end. Not thread safe: used by the thread that opened it.

    `media` has the size of the upright pictures. `warnings` grows while frames are read.
    """

    def __init__(self, opened: OpenContainer, source: Source) -> None:
        """Read as far as the first picture. Raises VideoError if reading fails."""
        self._opened = opened
        self._source = source
        self.warnings: list[ScenarioWarning] = list(opened.warnings)
        self._file = WatchedFile(opened.container.name if source.kind == "file" else None, self.warnings)
        self._length = DeclaredLength(opened, source)
        self._demuxer = PictureDemuxer(opened, source.redacted, all_streams=self._length.covers_all_streams)
        self._incoming = iter(self._demuxer)
        self._probed: list[tuple[CodedPicture, VideoPacket]] = []  # read, and not yielded yet
        self._probed_bytes = 0
        self._decoder = LazyDecoder(opened.stream.codec_context)
        frame = self._first_frame()
        if frame and orientation_of(frame) is None:
            self.warnings.append(ScenarioWarning("rotation_ignored", _ODD_ROTATION))
        if frame and not is_matrix_supported(frame):
            self.warnings.append(ScenarioWarning("colours_unsupported", _UNSUPPORTED_COLOURS))
        if self._demuxer.field_pairs:
            while len(self._probed) < _FIRST_PICTURE and self._probed_bytes < _PROBED_BYTES and self._probe():
                pass
        self._length.count_fields(len(self._probed), self._demuxer.field_pairs)
        media = Media(
            width=0,
            height=0,
            fps=self._length.rate,
            frames=self._length.frames,
            duration_seconds=self._length.seconds,
            frames_estimated=self._length.is_estimate if self._length.frames else None,
        )
        self.media = describe(opened, frame, media)

    @property
    def identity(self) -> FileIdentity | None:
        """Which recording it is; None for a test pattern."""
        return self._opened.identity

    def choose_candidates(self, sampling: Sampling) -> CandidateFrames:
        """Choose the frames that `sampling` chooses from. A scenario keeps the first choice."""
        if isinstance(sampling, FixedRate):
            while len(self._probed) < _PROBED and self._probed_bytes < _PROBED_BYTES and self._probe():
                pass
        # A key frame of H.264 that starts no closed GOP may need the pictures after it to become whole.
        lone = self._demuxer.codec != "h264"
        shown = sorted(
            (coded.pts, coded.is_key and (lone or coded.starts_closed_gop), coded.is_reference)
            for coded, _ in self._probed
            if coded.is_shown
        )
        return choose_candidates(sampling, [ProbedFrame(*frame) for frame in shown], self._demuxer.tick)

    def frames(
        self,
        sampling: Sampling,
        candidates: CandidateFrames,
        start: int = 0,
        start_sampled: int = 0,
        *,
        has_pictures: bool = False,
    ) -> Iterator[SampledFrame | Watermark]:
        """Yield the sampled frames from ordinal `start` on, in order, and watermarks. Call it once.

        The first one has the number `start_sampled` among the sampled frames. `has_pictures`: an earlier read
        gave a frame that could be decoded. A watermark comes at least
        every 0.25 s of work and last of all: there `end` is the number of frames in the recording. `end`
        never shrinks, and may repeat. Pictures and ordinals do not depend on `start`. Nothing is decoded
        ahead of demand, except by the decoder's own threads.

        Raises:
            VideoError: reading failed, the file became shorter, or no sampled frame could be decoded.
        """
        tick = self._demuxer.tick
        sampler = Sampler(sampling, tick)
        decoder = self._decoder
        decoder.start(from_beginning=start == 0, keys_only=candidates == "key")
        order = PresentationOrder()
        finder = self._demuxer.loss_finder
        first = end = ticks = highest = received = 0
        whole = -1  # the last frame that is there in full
        missing = 0
        first_missing: int | None = None
        sampled = start_sampled
        marked = time.monotonic()

        def settle(shown: CodedPicture) -> None:
            for lost in finder.fill(shown) if finder is not None else ():
                count(lost)
            count(shown)

        def count(coded: CodedPicture) -> None:
            nonlocal first, end, ticks, highest, whole, missing, first_missing
            if end == 0:
                first = coded.pts
            ticks = coded.pts - first
            # Predictions are searched by time: after a wrong timestamp, times must not decrease.
            highest = max(highest, ticks)
            coded.ordinal, coded.elapsed_ticks = end, highest
            if _is_candidate(coded, candidates):
                taken = sampler.take(ticks)
                decoder.set_wanted(coded, is_wanted=taken and end >= start)
            if coded.is_missing:
                missing += 1
                first_missing = end if first_missing is None else first_missing
            if not coded.is_damaged:
                whole = end
            end += 1

        def watermark() -> Watermark:
            awaited = decoder.next_wanted
            return Watermark(max(start, awaited.ordinal if awaited else end), _seconds(highest, tick))

        for coded, packet in self._pictures():
            received += 1
            if finder is not None:
                finder.note(coded, packet)
            if not coded.is_missing and _is_candidate(coded, candidates):
                decoder.add(coded, packet)
            for shown in order.push(coded):
                settle(shown)
                for ready in decoder.take_ready():
                    entry = _sampled(ready, tick, sampled)
                    has_pictures = has_pictures or entry.picture is not None
                    yield entry
                    sampled += 1
                    marked = time.monotonic()
            now = time.monotonic()
            if now - marked >= _WATERMARK_EVERY:
                yield watermark()
                marked = time.monotonic()
            if now >= self._file.due:
                self._file.check(end)
        for shown in order.flush():
            settle(shown)
        decoder.flush()
        for ready in decoder.take_ready():
            entry = _sampled(ready, tick, sampled)
            has_pictures = has_pictures or entry.picture is not None
            yield entry
            sampled += 1
        self._file.check(end)
        self._warn_of_missing(missing, first_missing, end)
        early = self._length.early_end(self._file, self._demuxer, received, whole, _seconds(ticks, tick))
        if early is not None and end:
            self.warnings.append(early)
        yield watermark()
        if end == 0:
            if self._length.is_scrambled(self._file, self._demuxer):
                raise encrypted_error(self._source.redacted)
            if isinstance(self._opened.remote, HttpFile) and not self._opened.remote.seekable():
                raise no_ranges_error(self._source.redacted)
            raise VideoError(f"{self._source.redacted} holds no frames", retryable=False)
        if sampled and not has_pictures:
            context = self._opened.stream.codec_context
            has_parameters = bool(context.width) or context.name in PICTURE_CODECS
            raise nothing_decoded_error(sampled, has_parameters=has_parameters)

    def _warn_of_missing(self, missing: int, first: int | None, frames: int) -> None:
        if missing:
            text = (
                f"The file is damaged: {missing} of {frames} frames are missing in it, the first of them"
                f" {first}. They are stored with an error."
            )
            self.warnings.append(ScenarioWarning("pictures_lost", text, first))
        finder = self._demuxer.loss_finder
        if finder is not None and finder.has_uncounted:
            text = (
                "The file is damaged, and its times do not tell how many frames are missing: later frames may"
                " have lower numbers than in the undamaged file."
            )
            self.warnings.append(ScenarioWarning("pictures_lost", text))

    def _pictures(self) -> Iterator[tuple[CodedPicture, VideoPacket]]:
        self._probed.reverse()
        while self._probed:
            yield self._probed.pop()
        while picture := self._next():
            yield picture

    def _probe(self) -> "tuple[CodedPicture, VideoPacket] | None":
        """Return the next picture, and keep it until it is yielded."""
        picture = self._next()
        if picture is not None:
            self._probed.append(picture)
            self._probed_bytes += picture[1].size
        return picture

    def _next(self) -> "tuple[CodedPicture, VideoPacket] | None":
        """Return the next picture in file order, None at the end. Raises VideoError if reading fails."""
        try:
            picture = next(self._incoming, None)
        except InvalidDataError:
            self._length.is_damaged = True
            picture = None
        except READ_ERRORS as error:
            raise read_error(error, self._source) from error
        self._length.is_damaged = self._length.is_damaged or self._demuxer.ends_at_damage
        return picture

    def _first_frame(self) -> av.VideoFrame | None:
        """Decode until there is a picture: only a picture tells its size and which way is up."""
        try:
            self._opened.stream.codec_context.open(strict=False)
        except (FFmpegError, ValueError) as error:
            raise unsupported_codec_error(self._source.redacted) from error
        frame = None
        while frame is None and len(self._probed) < _FIRST_PICTURE and self._probed_bytes < _PROBED_BYTES:
            if picture := self._probe():
                if not picture[0].is_missing:
                    self._decoder.decode_early(*picture)
            else:
                self._decoder.flush()
            frame = next((coded.frame for coded, _ in self._probed if coded.frame), None)
            if picture is None:
                break
        if self._demuxer.is_encrypted:
            raise encrypted_error(self._source.redacted)
        return frame


def _is_candidate(coded: CodedPicture, candidates: CandidateFrames) -> bool:
    return candidates == "all" or coded.is_key or (candidates == "reference" and coded.is_reference)


def _seconds(ticks: int, tick: Fraction) -> float:
    return ticks * tick.numerator / tick.denominator


def _sampled(coded: CodedPicture, tick: Fraction, number: int) -> SampledFrame:
    seconds = _seconds(coded.elapsed_ticks, tick)
    if coded.is_missing:
        return SampledFrame(coded.ordinal, seconds, number, error="the frame is missing: the file is damaged")
    if coded.frame is None:
        return SampledFrame(coded.ordinal, seconds, number, error="the frame could not be decoded")
    if coded.is_damaged or coded.frame.is_corrupt:
        return SampledFrame(coded.ordinal, seconds, number, error="the frame's data is damaged")
    if coded.group.is_damaged:  # what decoders make of it depends on what they decoded before
        return SampledFrame(coded.ordinal, seconds, number, error="the key frame before the frame is damaged")
    return SampledFrame(coded.ordinal, seconds, number, AvPicture(coded.frame))

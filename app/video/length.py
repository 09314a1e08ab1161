"""How long a recording is said to be by its container, and whether it was read to that end."""

from av import time_base
from av.container import InputContainer
from av.video.stream import VideoStream

from ..domain.source import Source
from .demuxer import frame_rate
from .errors import TruncatedError

_ONE_DURATION = frozenset(["matroska,webm", "flv", "asf"])  # formats with one duration, of the longest stream
_END_TIME = frozenset(["matroska,webm", "flv"])  # … which counts from time 0, not from the recording's start
_TOLERANCE, _MOV_TOLERANCE = 1.0, 0.001  # seconds that may be missing at the end


class DeclaredLength:
    """What a container declares. `rate` (frames per second), `frames` and `seconds` are None if unknown.

    `covers_all_streams`: the duration is that of the longest stream, which may be the sound. Set
    `is_damaged` if reading ended at damaged data.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, source: Source) -> None:
        name = container.format.name
        rate = frame_rate(container, stream)
        self.rate = float(rate) if rate else None
        self.frames = source.frames or stream.frames or None
        self._stored_frames = self.frames
        self.covers_all_streams = name in _ONE_DURATION
        self.is_damaged = False
        self.seconds: float | None = None
        if stream.duration and stream.time_base:
            self.seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            start = max(container.start_time or 0, 0) if name in _END_TIME else 0
            self.seconds = (container.duration - start) / time_base
        elif self.frames and rate:
            self.seconds = float(self.frames / rate)
        # FFmpeg finds the duration of other formats, such as MPEG-TS, from the end of the file as it is.
        self._declared_seconds: float | None = None
        self._tolerance = _TOLERANCE
        if name == "avi" and self.frames and rate:
            self._declared_seconds = float(self.frames / rate)
        elif self.covers_all_streams:
            self._declared_seconds = self.seconds
        elif name.startswith("mov") and stream.frames:
            self._declared_seconds = self.seconds
            self._tolerance = _MOV_TOLERANCE
            if self.seconds and rate:  # an edit list may leave out stored frames
                self.frames = min(stream.frames, round(self.seconds * rate))

    def check_complete(self, pictures: int, end: float, last_frame: int, last_time: float) -> None:
        """Raise TruncatedError if the recording ended before its declared length, or at damaged data.

        `pictures` is the number of coded pictures that were read, `end` the time at which the last packet
        ended, in seconds. `last_frame` is the ordinal of the last undamaged frame, -1 if there is none;
        `last_time` is the time of the last frame, in seconds.
        """
        is_short = self._declared_seconds is not None and end < self._declared_seconds - self._tolerance
        if self._stored_frames and pictures >= self._stored_frames:
            is_short = False
        if not is_short and not self.is_damaged:
            return
        if last_frame < 0:
            raise TruncatedError("the recording ends early: no frame could be read")
        total = f" of {self.frames}" if self.frames else ""
        declared = f" of {self.seconds:.1f}" if self.seconds and not self.frames else ""
        raise TruncatedError(
            f"the recording {'is damaged' if self.is_damaged else 'ends early'}:"
            f" frame {last_frame}{total} ({last_time:.1f}{declared} s) was the last that could be read"
        )

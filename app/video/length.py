"""How long a recording claims to be, and whether it was read to that end."""

from av import time_base
from av.container import InputContainer
from av.video.stream import VideoStream

from ..domain.source import Source
from .errors import TruncatedError
from .packets import frame_rate

_CLAIM_ALL = frozenset(["matroska,webm", "flv", "asf"])  # one duration, of the longest stream
_CLAIM_END = frozenset(["matroska,webm", "flv"])  # … counted from time 0, not from the recording's start
_LEAST_LOSS = 1.0  # seconds missing, from which on a recording known only by its duration ends early


class Length:
    """What the container claims. `frames` and `seconds` are None where it does not say."""

    def __init__(self, container: InputContainer, stream: VideoStream, source: Source) -> None:
        name = container.format.name
        rate = frame_rate(container, stream)
        self.rate = float(rate) if rate else None
        self.frames = source.frames or stream.frames or None
        self._stored = self.frames
        self.of_all_streams = name in _CLAIM_ALL
        self.broken = False
        self.seconds: float | None = None
        if stream.duration and stream.time_base:
            self.seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            late = max(container.start_time or 0, 0) if name in _CLAIM_END else 0
            self.seconds = (container.duration - late) / time_base
        elif self.frames and rate:
            self.seconds = float(self.frames / rate)
        # A duration that FFmpeg found by reading the file's end, as in MPEG-TS, is no claim.
        self._claim: float | None = None
        self._tolerance = 1.0
        if name == "avi" and self.frames and rate:
            self._claim = float(self.frames / rate)
        elif self.of_all_streams:
            self._claim = self.seconds
        elif name.startswith("mov") and stream.frames:
            self._claim = self.seconds
            self._tolerance = 0.001
            if self.seconds and rate:  # an edit list may leave out some of what is stored
                self.frames = min(stream.frames, round(self.seconds * rate))

    def check(self, received: int, reached: float, whole: int, seconds: float) -> None:
        """Raise TruncatedError where less was read than was claimed.

        `received` counts the pictures read, `reached` is where the last one ended, in seconds; `whole` is the
        last frame that is there in full, and `seconds` its time.
        """
        short = self._claim is not None and reached < self._claim - self._tolerance
        if self._stored and received >= self._stored:
            short = False
        if not short and not self.broken:
            return
        if whole < 0:
            raise TruncatedError("the recording ends early: no frame could be read")
        total = f" of {self.frames}" if self.frames else ""
        claimed = f" of {self.seconds:.1f}" if self.seconds and not self.frames else ""
        raise TruncatedError(
            f"the recording {'is damaged' if self.broken else 'ends early'}:"
            f" frame {whole}{total} ({seconds:.1f}{claimed} s) was the last that could be read"
        )

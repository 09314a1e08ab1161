"""How long a recording is said to be by its container, and whether it was read to that end."""

from fractions import Fraction
from os import SEEK_END
from pathlib import Path

from av import time_base
from av.container import InputContainer
from av.video.stream import VideoStream

from ..domain.source import Source
from .avi_index import count_pictures
from .demuxer import frame_rate
from .errors import TruncatedError

_ONE_DURATION = frozenset(["matroska,webm", "flv", "asf"])  # formats with one duration, of the longest stream
_END_TIME = frozenset(["matroska,webm", "flv"])  # … which counts from time 0, not from the recording's start
_MAX_BOXES = 500_000  # of an mp4 that are looked at: two a second of a recording of 69 hours
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
        has_fragments, self._ends_in_fragment = (
            _look_at_boxes(Path(container.name)) if name.startswith("mov") else (False, False)
        )
        if has_fragments:  # the index has the first fragment alone
            self.frames = self._stored_frames = None
        self.seconds: float | None = None
        pictures = count_pictures(stream) if name == "avi" else 0
        if pictures and self.frames and rate and pictures < self.frames:
            rate *= Fraction(pictures, self.frames)  # the others are empty, and repeat the one before
            self.rate, self.frames = float(rate), pictures
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
        elif name.startswith("mov") and self.frames:
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
        is_short = is_short or self._ends_in_fragment
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


def _look_at_boxes(path: Path) -> tuple[bool, bool]:
    """Return whether an mp4 has fragments, and whether it then ends within a box.

    Its index does not tell the length of a fragmented one. Over HTTP neither is known.
    """
    if not path.is_file():
        return False, False
    has_fragments = False
    place = 0
    with path.open("rb") as file:
        end = file.seek(0, SEEK_END)
        for _ in range(_MAX_BOXES):
            if place >= end:
                break
            file.seek(place)
            header = file.read(16)
            has_fragments = has_fragments or header[4:8] == b"moof"
            size = int.from_bytes(header[:4])
            if size == 1:
                size = int.from_bytes(header[8:16])
            place += max(size, 8) if size else end - place  # a box of size 0 extends to the end
    return has_fragments, has_fragments and place > end

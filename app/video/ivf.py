"""The length that the header of an IVF declares: one number, which not every program means alike."""

from fractions import Fraction

from av.video.stream import VideoStream
from msgspec import Struct

_UNKNOWN = (0, 0xFFFFFFFF)  # of a file that was written in one go
_TOLERANCE = 1.0  # seconds that may be missing at the end of a duration whose last picture's is unknown


class IvfLength(Struct, frozen=True):
    """What the header declares: a number of pictures, or a duration in ticks, as FFmpeg 5 wrote it.

    `number` is None if it is not known. `tick` is in seconds, `rate` in frames per second.
    """

    number: int | None
    tick: Fraction
    rate: Fraction | None

    @property
    def pictures(self) -> int | None:
        """The number of pictures; None if it may be something else."""
        if self.number is None or not self.rate:
            return None
        frames = self.number * self.tick * self.rate  # if it is a duration
        return self.number if frames < 1 or self._counts_both else None

    @property
    def _counts_both(self) -> bool:
        """Whether a picture takes one tick, so that both meanings are the same."""
        return self.rate is not None and abs(self.tick * self.rate - 1) < Fraction(1, 100)

    def is_short(self, packets: int, end_seconds: float) -> bool:
        """Return whether the file has less than its header declares.

        `end_seconds` is the end of its last picture, counted from the first one.
        """
        if self.number is None or packets >= self.number:
            return False
        frame = float(1 / self.rate) if self.rate else 0.0
        missing = float(self.number * self.tick) - end_seconds
        is_count = missing < -frame  # no duration is shorter than what there is
        return is_count or missing > (frame / 2 if self._counts_both else _TOLERANCE)


def ivf_length(stream: VideoStream, rate: Fraction | None) -> IvfLength:
    """Return the length in the header of an IVF, which FFmpeg takes for a number of pictures."""
    number = None if stream.frames in _UNKNOWN else stream.frames
    return IvfLength(number, Fraction(stream.time_base or 0), rate)

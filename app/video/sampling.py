"""Which frames are sampled: a function of the recording's timestamps alone."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from msgspec import Struct

from ..domain.spec import CandidateFrames, FixedRate, KeyframesOnly, Sampling

_NEAR = Fraction(1, 4)


class Sampler:
    """Decides frame by frame, in the order shown. `tick` is the unit of its timestamps, in seconds."""

    def __init__(self, sampling: Sampling, tick: Fraction) -> None:
        # The decimal number that the user wrote, so that 0.1 s times 10 is exactly 1.
        self._rate = tick * Fraction(str(sampling.fps)) if isinstance(sampling, FixedRate) else None
        self._bucket: int | None = None

    def take(self, ticks: int) -> bool:
        """Whether the next eligible frame, `ticks` after the first frame, is sampled.

        With `fps`, it is where floor(time · fps) differs from the previous eligible frame's. Half a tick is
        added to the time: containers round by up to that much, which would cost frames at the full rate.
        """
        if self._rate is None:
            return True
        bucket = (2 * ticks + 1) * self._rate.numerator // (2 * self._rate.denominator)
        taken = bucket != self._bucket
        self._bucket = bucket
        return taken


class Shown(Struct, frozen=True):
    """One frame of a recording's beginning: when it is shown, and what it is to the others."""

    ticks: int
    key: bool
    reference: bool


def choose_eligible(sampling: Sampling, beginning: Sequence[Shown], tick: Fraction) -> CandidateFrames:
    """The cheapest frames to decode that still give samples close to where they are due.

    `beginning` is in the order shown. Key frames, or else reference frames, do where no gap between them is
    longer than a quarter of the time between samples, and where they are not every frame anyway.
    """
    if isinstance(sampling, KeyframesOnly):
        return "key"
    if isinstance(sampling, FixedRate):
        longest = _NEAR / Fraction(str(sampling.fps)) / tick
        if _dense([frame.ticks for frame in beginning if frame.key], beginning, longest):
            return "key"
        if _dense([frame.ticks for frame in beginning if frame.reference], beginning, longest):
            return "reference"
    return "all"


def _dense(times: list[int], beginning: Sequence[Shown], longest: Fraction) -> bool:
    if not 1 < len(times) < len(beginning) or times[0] != beginning[0].ticks:
        return False
    return max(later - earlier for earlier, later in pairwise([*times, beginning[-1].ticks])) <= longest

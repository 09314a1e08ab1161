"""Choose which frames are sampled: a function of the recording's timestamps alone."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from msgspec import Struct

from ..domain.sampling import CandidateFrames, FixedRate, KeyframesOnly, Sampling

_MAX_GAP = Fraction(1, 4)  # of the time between samples


class Sampler:
    """Decides frame by frame, in the order shown. `tick` is the unit of the timestamps, in seconds."""

    def __init__(self, sampling: Sampling, tick: Fraction) -> None:
        # The decimal number that the user wrote, so that 0.1 s times 10 is exactly 1.
        self._rate = tick * Fraction(str(sampling.fps)) if isinstance(sampling, FixedRate) else None
        self._bucket: int | None = None

    def take(self, ticks: int) -> bool:
        """Return whether the next candidate frame, `ticks` after the first frame, is sampled.

        With `fps`, it is if floor(time · fps) differs from the previous candidate's. Half a tick is added to
        the time: containers round by up to that much, which would cost frames at the full rate.
        """
        if self._rate is None:
            return True
        bucket = (2 * ticks + 1) * self._rate.numerator // (2 * self._rate.denominator)
        taken = bucket != self._bucket
        self._bucket = bucket
        return taken


class ProbedFrame(Struct, frozen=True):
    """One frame of a recording's beginning: when it is shown, and whether other frames depend on it."""

    ticks: int
    is_key: bool
    is_reference: bool


def choose_candidates(
    sampling: Sampling, beginning: Sequence[ProbedFrame], tick: Fraction
) -> CandidateFrames:
    """Choose the cheapest frames to decode that still give samples close to when they are due.

    `beginning` is in the order shown. Key frames, or else reference frames, are chosen if no gap between them
    is longer than a quarter of the time between samples, unless every frame is one.
    """
    if isinstance(sampling, KeyframesOnly):
        return "key"
    if isinstance(sampling, FixedRate):
        longest = _MAX_GAP / Fraction(str(sampling.fps)) / tick
        if _are_dense([frame.ticks for frame in beginning if frame.is_key], beginning, longest):
            return "key"
        if _are_dense([frame.ticks for frame in beginning if frame.is_reference], beginning, longest):
            return "reference"
    return "all"


def _are_dense(times: list[int], beginning: Sequence[ProbedFrame], longest: Fraction) -> bool:
    if not 1 < len(times) < len(beginning) or times[0] != beginning[0].ticks:
        return False
    return max(later - earlier for earlier, later in pairwise([*times, beginning[-1].ticks])) <= longest

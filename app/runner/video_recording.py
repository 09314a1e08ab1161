"""Recordings: every sampled frame under its exact ordinal, wherever decoding began."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from app.runner.frames import Picture
from app.scenario import Media, Sampling

Eligible = Literal["all", "reference", "key"]


class Sampled(Struct, frozen=True):
    """A frame to be stored: its picture, or the error for which it has none (exactly one of them is None)."""

    frame: int
    time: float
    picture: Picture | None = None
    error: str | None = None


class Settled(Struct, frozen=True):
    """Every frame before `end` is settled: it was yielded earlier, or is not sampled.

    `time` is the position reached, in seconds. Comes at least every 0.25 s of work and last of all, where
    `end` is the number of frames in the recording; `end` never shrinks, and may repeat.
    """

    end: int
    time: float


class Recording:
    """A video with an end. Not thread safe: used by the thread that opened it."""

    media: Media

    def choose_eligible(self, sampling: Sampling) -> Eligible:
        """Which frames `sampling` is to choose from: decided once for a scenario, then kept with it."""
        raise NotImplementedError

    def frames(self, sampling: Sampling, eligible: Eligible, start: int = 0) -> Iterator[Sampled | Settled]:
        """The sampled frames from ordinal `start` on, in order. To be called once.

        Nothing is decoded ahead of what is asked for, but for the decoder's own threads. Pictures and ordinals
        do not depend on `start`. Raises VideoError where reading fails, and TruncatedError, once every readable
        frame was yielded, where the recording ends before it should.
        """
        raise NotImplementedError

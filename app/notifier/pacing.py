"""When a channel may send, and how much at once: after a failure it is tried alone, with growing pauses."""

import random

from msgspec import Struct

from .queue import FreeRoom


class Backoff(Struct, frozen=True):
    """Seconds to wait: they double from `first` to `longest`, with 20 % jitter."""

    first: float
    longest: float

    def after(self, failures: int) -> float:
        """Return the seconds to wait after this many failures in a row, 1 or more."""
        longest = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return longest * random.uniform(0.8, 1.0)  # noqa: S311  not a secret


class ChannelPacing:
    """One channel's room. `now` is in seconds of any monotonic clock."""

    def __init__(self, channel: str, concurrency: int, backoff: Backoff) -> None:
        self._channel = channel
        self._concurrency = concurrency
        self._backoff = backoff
        self._sending = 0
        self._failures = 0
        self._paused_until = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether its last attempt failed."""
        return self._failures > 0

    def room(self, now: float) -> FreeRoom:
        """Return how much more may be sent now. During a pause, tests may."""
        at_once = 1 if self.is_failing else self._concurrency
        is_paused = now < self._paused_until
        return FreeRoom(self._channel, max(0, at_once - self._sending), only_tests=is_paused)

    def begin(self) -> None:
        """Note that a message is being sent."""
        self._sending += 1

    def end(self) -> None:
        """Note that a message is no longer being sent."""
        self._sending -= 1

    def succeed(self) -> None:
        """Note that the channel took a message, or refused only that one."""
        self._failures, self._paused_until = 0, 0.0

    def fail(self, now: float, retry_after: float = 0.0) -> None:
        """Pause: the channel is away. Failures of messages that were sent together count once."""
        if now >= self._paused_until:
            self._failures += 1
            self._paused_until = now + self._backoff.after(self._failures)
        self._paused_until = max(self._paused_until, now + retry_after)

"""How often each caller may ask: a bucket that fills as time passes, and that every request takes from."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

_MOST_CALLERS = 10_000


class TokenBuckets:
    """`rate` requests a second for each caller on average, and `burst` (or two seconds' worth) at once."""

    def __init__(
        self, rate: float, *, burst: float | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._most = 2 * rate if burst is None else burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # what was left, and when

    def take(self, caller: str) -> float:
        """Count a request: 0 where the caller may make it, else how many seconds it has to wait."""
        now = self._clock()
        left, then = self._buckets.pop(caller, (self._most, now))
        left = min(self._most, left + (now - then) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._buckets[caller] = left - (0 if wait else 1), now
        if len(self._buckets) > _MOST_CALLERS:
            self._buckets.popitem(last=False)
        return wait

"""Token buckets: each caller's bucket fills at a rate, and each request takes one token from it."""

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

_MAX_CALLERS = 10_000


class TokenBuckets:
    """One bucket per caller, filled with `rate` tokens a second, up to `burst`.

    By default `burst` is the tokens of two seconds. The buckets of the 10,000 latest callers are kept.
    """

    def __init__(
        self, rate: float, *, burst: float | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._burst = 2 * rate if burst is None else burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def take(self, caller: str) -> float:
        """Take a token: return 0 if there was one, else the seconds until there will be."""
        now = self._clock()
        tokens, then = self._buckets.pop(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        self._buckets[caller] = tokens - (0 if wait else 1), now
        if len(self._buckets) > _MAX_CALLERS:
            self._buckets.popitem(last=False)
        return wait

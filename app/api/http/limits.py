"""How often each caller may ask, and how much at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from litestar.types import HTTPScope

from .addresses import network_of
from .problems import TOO_MANY_REQUESTS, ProblemError
from .token_bucket import TokenBuckets

_UNLIMITED = ("local", "probe")
_MAX_OPEN = 50  # requests that each key or address may have open, event streams included
_RATE_WITHOUT_KEY = 20.0  # requests a second from each address to pages that need no key
_BURST_WITHOUT_KEY = 200  # a page loads thirty files
_REFUSAL_RATE = 0.5  # refusals a second for each address, after which it gets 429 instead of 401
_REFUSAL_BURST = 20


class RequestLimits:
    """The limits of one process. Clients that need no key have none, nor have health probes."""

    def __init__(self, rate_limit: float) -> None:
        self._by_key = TokenBuckets(rate_limit)
        self._by_address = TokenBuckets(_RATE_WITHOUT_KEY, burst=_BURST_WITHOUT_KEY)
        self._refusals = TokenBuckets(_REFUSAL_RATE, burst=_REFUSAL_BURST)
        self._open: Counter[str] = Counter()

    def count_refusal(self, scope: HTTPScope) -> None:
        """Count a request with a missing or wrong key. Raises ProblemError (429) if there are too many.

        Only refused requests call this: wrong keys from an address never shut out a valid key that comes
        through the same proxy, and keys are too long to be guessed.
        """
        if wait := self._refusals.take(network_of(scope)):
            detail = "This address sends too many requests without a valid API key. Wait, then send one."
            raise _too_many(detail, wait)

    @contextmanager
    def applied(self, scope: HTTPScope, caller: str) -> Iterator[None]:
        """Count the request while it is open. Raises ProblemError (429) if the caller is over a limit."""
        if caller in _UNLIMITED:
            yield
            return
        if caller == "anonymous":
            caller = network_of(scope)
            buckets, who, bound = self._by_address, "This address", f"{_RATE_WITHOUT_KEY:g} a second"
        else:
            buckets, who, bound = self._by_key, "This API key", "VA_RATE_LIMIT"
        if wait := buckets.take(caller):
            detail = f"{who} makes more requests than allowed ({bound}). Wait, then send fewer."
            raise _too_many(detail, wait)
        if self._open[caller] >= _MAX_OPEN:
            detail = f"{who} has {_MAX_OPEN} requests open, event streams included. Close some, or wait."
            raise _too_many(detail, 1)
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


def _too_many(detail: str, wait: float) -> ProblemError:
    return ProblemError(TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(max(1, ceil(wait)))})

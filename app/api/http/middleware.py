"""What every request passes, whatever its path: admission, limits, headers, one log line, metrics."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from time import perf_counter

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from ..options import ApiOptions
from ..routes.metrics import duration_of, requests_of
from .auth import admit, network_of
from .problems import KEY_NEEDED, TOO_MANY_REQUESTS, ProblemError
from .token_bucket import TokenBuckets

log = structlog.get_logger(__name__)
_level = logging.getLogger(__name__)  # asked first: a line takes time to make, and few of them are wanted

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), display-capture=()"),
    (b"x-frame-options", b"DENY"),  # for browsers that don't know frame-ancestors
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
_SHOWN = 500  # bytes of a path in the log
_METHODS = frozenset(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
_AT_ONCE = 50  # requests that each key or address may have open, event streams among them
_WITHOUT_KEY = 20.0  # requests a second to pages that need no key, for each address
_FAILED = 0.5  # refusals a second for each address; then it is no longer told why


class RequestMiddleware:
    """Wraps the whole application, so that unknown paths and refused requests count too."""

    def __init__(self, app: ASGIApp, options: ApiOptions) -> None:
        self._app = app
        self._api_keys = options.api_keys
        self._by_key = TokenBuckets(options.rate_limit)
        self._by_address = TokenBuckets(_WITHOUT_KEY)
        self._failed = TokenBuckets(_FAILED, burst=20)
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._handle(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _handle(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        status = 500  # what the server answers where nothing else did
        streams = False

        async def observed(message: Message) -> None:
            nonlocal status, streams
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = dict(message["headers"])
                streams = headers.get(b"content-type", b"").startswith(b"text/event-stream")
                missing = [header for header in _HEADERS if header[0] not in headers]
                message["headers"] = [*message["headers"], *missing]
            await send(message)

        try:
            scope["auth"] = caller = self._admit(scope)
            with self._limited(scope, caller):
                await self._app(scope, receive, observed)
        except ProblemError as error:
            await error.send(observed)
        finally:
            self._observe(scope, status, perf_counter() - started, streams=streams)

    def _observe(self, scope: HTTPScope, status: int, seconds: float, *, streams: bool) -> None:
        # Each label is kept for ever: whatever else a client calls its method has one name.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = str(scope.get("path_template", "unmatched"))
        requests_of(route, method, status).inc()
        if not streams:
            duration_of(route, method).observe(seconds)
        level = logging.DEBUG if method in ("GET", "HEAD") and status < 500 else logging.INFO
        if _level.isEnabledFor(level):
            log.log(
                level,
                "request",
                method=method,
                route=route,
                path=scope["raw_path"][:_SHOWN].decode("latin-1"),  # as it was sent: without line breaks
                status=status,
                ms=round(seconds * 1e3, 1),
            )

    def _admit(self, scope: HTTPScope) -> str:
        try:
            return admit(scope, self._api_keys)
        except ProblemError as error:
            # A right key passes however many wrong ones come from its address: a neighbour behind the same
            # proxy could shut it out otherwise, and keys are too long to be found by trying.
            if error.problem.status == KEY_NEEDED.status and (wait := self._failed.take(network_of(scope))):
                detail = "This address sends too many requests without a right API key. Wait, and send one."
                raise _too_many(detail, wait) from error
            raise

    @contextmanager
    def _limited(self, scope: HTTPScope, caller: str) -> Iterator[None]:
        """Raises ProblemError (429) where the caller asks too often, or too much at once."""
        if caller == "local":
            yield
            return
        if caller == "anonymous":
            caller = network_of(scope)
            limit, who, bound = self._by_address, "This address", f"{_WITHOUT_KEY:g} a second"
        else:
            limit, who, bound = self._by_key, "This API key", "VA_RATE_LIMIT"
        if wait := limit.take(caller):
            raise _too_many(f"{who} makes more requests than allowed ({bound}). Wait, and make fewer.", wait)
        if self._open[caller] >= _AT_ONCE:
            detail = f"{who} has {_AT_ONCE} requests open, event streams among them. Close some, or wait."
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

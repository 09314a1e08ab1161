"""What every request passes: API keys, limits, security headers, one log line, metrics."""

import logging
from functools import cache
from math import inf
from time import perf_counter, time

import structlog
from anyio import CancelScope, move_on_after
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import (
    HTTPScope,
    LifeSpanReceive,
    LifeSpanScope,
    LifeSpanSend,
    Message,
    Receive,
    Scope,
    Send,
)
from prometheus_client import Counter, Histogram

from ..options import ApiOptions, MountedApp
from .auth import Caller, admit
from .limits import RequestLimits
from .problems import KEY_NEEDED, ProblemError
from .request_line import as_answered, name_head
from .sending import close_connection, send_in_slices

log = structlog.get_logger(__name__)
_logger = logging.getLogger(
    __name__
)  # asked for its level first: making a line costs time, and few are shown

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), display-capture=()"),
    (b"x-frame-options", b"DENY"),  # for browsers that do not know frame-ancestors
    (
        b"content-security-policy",
        b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
_REQUESTS = Counter("videoanalysis_http_requests", "HTTP requests", ["route", "method", "status"])
_DURATION = Histogram(
    "videoanalysis_http_request_seconds", "Time to answer, streams left out", ["route", "method"]
)
_STREAMS = (b"text/event-stream", b"multipart/x-mixed-replace", b"video/")
_MAX_PATH = 500  # bytes of a path that are logged
_METHODS = frozenset(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])


class RequestMiddleware:
    """Wraps the Litestar application `app` from outside: its own middleware does not see unknown paths."""

    def __init__(self, app: Litestar, options: ApiOptions) -> None:
        self.app = app
        self._options = options
        self.limits = RequestLimits(options.rate_limit)

    async def __call__(
        self,
        scope: Scope | LifeSpanScope,
        receive: Receive | LifeSpanReceive,
        send: Send | LifeSpanSend,
    ) -> None:
        """Handle a request; pass everything else on."""
        if scope["type"] == ScopeType.HTTP:
            await self._handle(scope, receive, send)  # type: ignore[arg-type]
        elif scope["type"] == ScopeType.WEBSOCKET:
            await send({"type": "websocket.close", "code": 1000, "reason": ""})  # type: ignore[arg-type]
        else:
            await self.app(scope, receive, send)

    async def _handle(self, sent: HTTPScope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        scope, has_body = as_answered(sent), sent["method"] != "HEAD"
        mounted = self._options.mounted
        if mounted is not None and not mounted.has(scope["path"]):
            mounted = None
        status = 500  # what the server answers if nothing else did
        is_stream = False
        ended = CancelScope()

        async def send_observed(message: Message) -> None:
            nonlocal status, is_stream
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = dict(message["headers"])
                is_stream = headers.get(b"content-type", b"").startswith(_STREAMS)
                missing = [header for header in _HEADERS if header[0] not in headers]
                message["headers"] = [*map(name_head, message["headers"]), *missing]
            elif not has_body:
                if message.get("more_body"):
                    ended.cancel()
                return
            await send_in_slices(send, message)
            if not has_body:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            caller = self._admit({**scope, "method": sent["method"]}, mounted)
            scope["user"] = caller
            scope["auth"] = caller.name
            if mounted is not None:
                await mounted.app(scope, receive, send_observed)
            else:
                with (
                    self.limits.applied(scope, caller.name),
                    move_on_after(_seconds_left(caller)) as left,
                    ended,
                ):
                    await self.app(scope, receive, send_observed)
                if left.cancelled_caught:
                    await close_connection(send)
        except ProblemError as error:
            if mounted is not None:
                await mounted.refuse(send_observed, error.problem.status, error.problem.detail, error.headers)
            else:
                await error.send(send_observed)
        finally:
            is_routine = mounted is not None and status < 400  # one for each frame
            scope["method"] = sent["method"]
            _record(scope, status, perf_counter() - started, is_stream=is_stream, is_routine=is_routine)

    def _admit(self, scope: HTTPScope, mounted: MountedApp | None) -> Caller:
        options = self._options
        keys, variable = (
            (options.api_keys, "VA_API_KEYS") if mounted is None else (mounted.keys, mounted.variable)
        )
        try:
            return admit(
                scope,
                keys,
                viewer_keys=options.viewer_keys if mounted is None else (),
                trust_loopback=options.trust_loopback,
                variable=variable,
                has_sessions=mounted is None,
                public_url=options.public_url,
            )
        except ProblemError as error:
            if error.problem.status == KEY_NEEDED.status:
                self.limits.count_refusal(scope)
            raise


def _seconds_left(caller: Caller) -> float:
    return inf if caller.session_end is None else caller.session_end - time()


def _record(scope: HTTPScope, status: int, seconds: float, *, is_stream: bool, is_routine: bool) -> None:
    # Metrics keep each label for ever, so all methods that clients invent share one.
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route = str(scope.get("path_template", "unmatched"))
    _requests(route, method, status).inc()
    if not is_stream:
        _duration(route, method).observe(seconds)
    is_routine |= method in ("GET", "HEAD") and status < 500
    level = logging.DEBUG if is_routine else logging.INFO
    if _logger.isEnabledFor(level):
        log.log(
            level,
            "request",
            method=method,
            route=route,
            path=scope["raw_path"][:_MAX_PATH].decode("latin-1"),  # as it was sent: without line breaks
            status=status,
            ms=round(seconds * 1e3, 1),
        )


@cache  # faster than the look-up by labels
def _requests(route: str, method: str, status: int) -> Counter:
    return _REQUESTS.labels(route, method, str(status))


@cache
def _duration(route: str, method: str) -> Histogram:
    return _DURATION.labels(route, method)

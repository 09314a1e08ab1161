"""What every request passes, whatever its path: admission, headers, one log line, metrics."""

from time import perf_counter

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.api.auth import admit
from app.api.limits import RateLimit
from app.api.metrics import DURATION, REQUESTS
from app.api.options import ApiOptions
from app.api.problems import TOO_MANY_REQUESTS, ProblemError

log = structlog.get_logger(__name__)

_HEADERS = {
    b"cache-control": b"no-store",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}


class Gate:
    """Wraps the whole application, so that unknown paths and refused requests count too."""

    def __init__(self, app: ASGIApp, options: ApiOptions) -> None:
        self._app = app
        self._api_keys = options.api_keys
        self._limit = RateLimit(options.rate_limit)

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
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in _HEADERS.items() if name not in headers),
                ]
            await send(message)

        try:
            scope["auth"] = caller = admit(scope, self._api_keys)
            if caller.startswith("key:") and (wait := self._limit.take(caller)):
                raise _too_many(wait)
            await self._app(scope, receive, observed)
        except ProblemError as error:
            await error.send(observed)
        finally:
            seconds = perf_counter() - started
            method, route = scope["method"], str(scope.get("path_template", "unmatched"))
            REQUESTS.labels(route, method, str(status)).inc()
            if not streams:
                DURATION.labels(route, method).observe(seconds)
            write = log.debug if method in ("GET", "HEAD") and status < 500 else log.info
            write(
                "request",
                method=method,
                route=route,
                path=scope["raw_path"].decode("latin-1"),  # as it was sent: without line breaks
                status=status,
                ms=round(seconds * 1e3, 1),
            )


def _too_many(wait: float) -> ProblemError:
    detail = "This API key makes more requests than VA_RATE_LIMIT allows. Wait, and make fewer at once."
    return ProblemError(TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(max(1, round(wait)))})

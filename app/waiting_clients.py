"""Close connections whose clients keep the server waiting: uvicorn has no deadline for a head."""

from asyncio import TimerHandle, Transport
from typing import Any

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol

from .supervision import Asgi

TIMEOUT = 20.0
"""Seconds in which a client must send the next head, take the last of an answer, or send 1 MiB of a body
that has been answered."""

MAX_WAITING = 1000
"""Connections without a request that are open at once; then the one that has waited longest is closed."""

_PROGRESS = 2**20  # bytes
_ANSWERING = (h11.SEND_RESPONSE, h11.SEND_BODY, h11.SWITCHED_PROTOCOL)
_TEXT = b"The head of the request did not arrive in time. Send the request again.\n"

_waiting: "dict[TimedProtocol, None]" = {}
"""The connections without a request, the one that has waited longest first."""


def close_waiting_connections(app: Asgi) -> Asgi:
    """Wrap `app` so that uvicorn serves it with TimedProtocol, unless it was told to use another than h11."""

    async def wrapped(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            # uvicorn's command has no option for it. The first connection is made after this.
            config = getattr(getattr(send, "__self__", None), "config", None)
            if isinstance(config, Config) and config.http_protocol_class is H11Protocol:
                config.http_protocol_class = TimedProtocol
        await app(scope, receive, send)

    return wrapped


class TimedProtocol(H11Protocol):
    """Has a deadline for everything that is no request in progress, which has deadlines of its own."""

    _timer: TimerHandle | None = None
    _received = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()

    def _watch(self) -> None:
        if self.conn.our_state in _ANSWERING:
            self._unwatch()
        elif self._timer is None:
            self._received = 0
            self._timer = self.loop.call_later(TIMEOUT, self._give_up)
            _waiting[self] = None
            if len(_waiting) > MAX_WAITING:
                longest = next(iter(_waiting))
                longest._unwatch()  # noqa: SLF001
                longest.transport.abort()

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            del _waiting[self]

    def _give_up(self) -> None:
        is_body = self.conn.their_state is h11.SEND_BODY
        has_progress = is_body and self._received >= _PROGRESS
        self._unwatch()
        if self.transport.is_closing():  # the client does not read what is left
            self.transport.abort()
            return
        if not has_progress:
            if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
                self._answer_too_slow()
            self.transport.close()
        self._watch()

    def _answer_too_slow(self) -> None:
        headers = [("content-type", "text/plain; charset=utf-8"), ("connection", "close")]
        for event in (h11.Response(status_code=408, headers=headers), h11.Data(_TEXT), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

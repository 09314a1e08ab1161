"""Read bodies of requests, bounded in size, in time and in what all of them take together."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from anyio import CancelScope, fail_after

BODY_TIMEOUT = 30.0
"""Seconds in which a body must arrive."""
AT_ONCE = 4
"""Bodies of the largest size that are held at the same time."""


class RefusedError(Exception):
    """Ends a request with a status and a sentence for its client."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


def busy(text: str) -> RefusedError:
    """Return the answer 503: the same request can succeed later, or at another server."""
    return RefusedError(503, text, {"Retry-After": "1"})


@asynccontextmanager
async def ended_by_disconnect(receive: Any) -> AsyncGenerator[None, None]:
    """Cancel the block if the client disconnects. The body must have been received.

    A client that does not wait any more asks again: what it asked for first must not delay that.

    Raises:
        RefusedError: the client disconnected.
    """

    async def wait_for_disconnect() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    with CancelScope() as scope:
        waiting = asyncio.create_task(wait_for_disconnect())
        try:
            yield
        finally:
            waiting.cancel()
    if scope.cancelled_caught:
        raise RefusedError(499, "The client disconnected.")


class BodyReader:
    """Reads bodies of at most `max_body` bytes."""

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._free = AT_ONCE * max_body

    @asynccontextmanager
    async def read(self, scope: dict[str, Any], receive: Any) -> AsyncGenerator[bytes, None]:
        """Receive a body; it counts as held until the block ends.

        Raises:
            RefusedError: it is too large, too slow, or too many are held.
        """
        headers = dict(scope["headers"])
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RefusedError(415, "The body must not be compressed: send it without Content-Encoding.")
        declared = headers.get(b"content-length", b"")
        # A body without a length may become as long as the largest.
        size = int(declared) if declared.isdigit() else self._max_body
        if size > self._max_body:
            raise self._too_large()
        if size > self._free:
            raise busy("Too many requests are being received: try again, or ask another server.")
        self._free -= size
        try:
            yield await self._receive(receive)
        finally:
            self._free += size

    async def _receive(self, receive: Any) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            with fail_after(BODY_TIMEOUT):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "The body did not arrive.")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._max_body:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise RefusedError(408, f"The body did not arrive within {BODY_TIMEOUT:g} seconds.") from None

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413,
            f"The body is larger than {self._max_body // 2**20} MiB (VA_INFERENCE_MAX_BODY_MB):"
            " send fewer pictures at once, and tensors as binary.",
        )

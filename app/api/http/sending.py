"""Send a body in slices, so that a client that does not read it costs little memory, and not for long.

A server copies each part of a body into its own buffer at once, and waits only before the next part.
"""

import anyio.lowlevel
from anyio import move_on_after
from litestar.types import Message, Send

SLICE = 128 * 1024
"""Bytes of a body that are sent at once."""
SEND_TIMEOUT = 20.0
"""Seconds in which a client must read a slice; then its connection is closed."""


async def send_in_slices(send: Send, message: Message) -> None:
    """Send a message, and return when all but about one slice is with the client, or it has gone."""
    if message["type"] == "http.response.body" and len(body := message["body"]) > SLICE:
        for start in range(0, len(body), SLICE):
            part = body[start : start + SLICE]
            await _send(send, {"type": "http.response.body", "body": part, "more_body": True})
        message["body"] = b""
    await _send(send, message)


async def _send(send: Send, message: Message) -> None:
    with move_on_after(SEND_TIMEOUT) as waiting:
        await send(message)
    if waiting.cancelled_caught:
        await close_connection(send)


async def close_connection(send: Send) -> None:
    """Close the connection at once. uvicorn's own way waits until the client has read what was sent."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        await anyio.lowlevel.checkpoint()  # after which the server ignores whatever else is sent

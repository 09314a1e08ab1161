"""Follow GET /stream without I/O: bytes in, messages out, and how long to wait before it is opened again."""

from time import monotonic
from typing import Any

import httpx
import msgspec

from .answers import StreamMessage
from .errors import ClientError, not_understood, refused
from .procedures import AWAY, Request, pauses

SILENCE = 60.0
"""Seconds without a byte after which a stream is lost: the service writes a comment every 15."""

_TRIES = 8  # one after the other without a byte, about 40 s


class StreamFollower:
    """One event stream over all its connections. `last_id` is what the next connection resumes after."""

    def __init__(self, last_id: str | None, seconds: float | None) -> None:
        self.last_id = last_id
        self._ends_at = None if seconds is None else monotonic() + seconds
        self._rest = b""
        self._fields: dict[str, str] = {}
        self._pauses = pauses(_TRIES)

    def request(self) -> Request | None:
        """Return what opens the next connection, or None if its time is over."""
        parameters = {}
        if self._ends_at is not None:
            left = self._ends_at - monotonic()
            if left <= 0:
                return None
            parameters["seconds"] = f"{left:.3f}"
        headers = {"Accept": "text/event-stream"}
        if self.last_id is not None:
            headers["Last-Event-ID"] = self.last_id
        self._rest, self._fields = b"", {}
        return Request(path="stream", parameters=parameters, headers=headers, timeout=SILENCE)

    def check(self, url: str, status: int, headers: httpx.Headers, body: bytes) -> None:
        """Raise ClientError for an answer that is no event stream. `body` is only needed of a refusal."""
        if status != httpx.codes.OK:
            raise refused(url, status, headers, body)
        if not headers.get("content-type", "").startswith("text/event-stream"):
            raise not_understood(url, status, "it is no event stream")

    def feed(self, received: bytes) -> list[StreamMessage]:
        """Return the messages that are whole with these bytes. A line ends with a line feed alone.

        Other ends of lines, such as U+2028, may be in the texts of a message. Raises ClientError.
        """
        self._pauses = pauses(_TRIES)
        *lines, self._rest = (self._rest + received).split(b"\n")
        found = []
        for line in lines:
            if line:
                name, _, value = line.decode(errors="replace").partition(": ")
                self._fields[name] = value  # of a comment, the name is empty
                continue
            message, self._fields = self._fields, {}
            self.last_id = message.get("id", self.last_id)
            if "data" in message:
                try:
                    data = msgspec.json.decode(message["data"], type=dict[str, Any])
                except msgspec.MsgspecError as error:
                    raise not_understood("/stream", httpx.codes.OK, error) from error
                found.append(StreamMessage(message.get("event", ""), message.get("id"), data))
        return found

    def pause(self, error: ClientError) -> float:
        """Return the seconds to wait after a connection was lost or refused.

        Raises `error` if to wait does not help, or did not.
        """
        is_passing = error.status is None or error.status in AWAY
        if not self._pauses or not is_passing:
            raise error
        return self._pauses.pop(0)

"""Recordings over HTTP, read by ranges.

FFmpeg 8.1's own reader asks again on connections that it told the server to close, and so silently loses the
first frame of every mp4 whose index is at its end.
"""

import io
import re
import ssl
from base64 import b64encode
from http.client import HTTPException, HTTPResponse
from threading import Event
from typing import Literal, cast
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from app.runner.video_errors import VideoError, status_error
from app.source import Source

_PLAYLISTS = frozenset(["application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl"])
_WAITS = (0.0, 0.25, 0.5, 1.0)  # seconds before each try to go on where the connection was dropped
_NEAR = 256 * 1024  # a seek this far ahead reads on rather than asking again


class HttpFile:
    """A file on a web server, for PyAV to read. Not thread safe.

    `kind` is `playlist` or `stream` where the address is no file of known size: then it is only to be closed.
    PyAV loses what `read` raises, so a failure looks like the end of the file, and is kept in `fault`.
    """

    def __init__(self, source: Source, timeout: float, stop: Event) -> None:
        """Connect. Raises VideoError."""
        self.name = source.redacted
        self.fault: VideoError | None = None
        self._timeout = timeout
        self._stop = stop
        parts = urlsplit(source.address)
        login, _, host = parts.netloc.rpartition("@")
        self._url = parts._replace(netloc=host, fragment="").geturl()
        self._login = "Basic " + b64encode(unquote(login).encode()).decode() if login else None
        self._opener = _opener()
        try:
            self._response = self._ask(0)
        except (OSError, HTTPException) as error:
            raise _explained(error, self.name) from None
        self._place = self._standing = 0  # where the next read begins, and where the response stands
        self._ranges = self._response.status == 206
        self._size = _size(self._response)
        self._etag = self._response.headers.get("ETag")
        self.kind: Literal["file", "playlist", "stream"] = "file"
        if self._response.headers.get_content_type() in _PLAYLISTS or parts.path.endswith(".m3u8"):
            self.kind = "playlist"
        elif self._size is None:
            self.kind = "stream"

    def read(self, size: int) -> bytes:
        """At most `size` bytes from the current place on; none at the end, or after a failure."""
        if self.fault is not None or self._place >= (self._size or 0):
            return b""
        for wait in _WAITS:
            if self._stop.wait(wait):
                break
            try:
                data = self._read(size)
            except VideoError as fault:
                self.fault = fault
                return b""
            except HTTPError as error:
                error.close()
                if error.code < 500:
                    break
            except TimeoutError:
                break
            except (OSError, HTTPException):
                pass
            else:
                if data:
                    self._place += len(data)
                    return data
            self._response.close()
            if not self._ranges:
                break
        self.fault = VideoError(
            f"the connection to {self.name} was lost after {self._place} of {self._size} bytes",
            retryable=True,
        )
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; nothing is asked of the server before the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size or 0}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seekable(self) -> bool:
        """Whether the server gives ranges."""
        return self._ranges

    def close(self) -> None:
        """Drop the connection."""
        self._response.close()

    def _read(self, size: int) -> bytes:
        ahead = self._place - self._standing
        if self._response.isclosed() or not 0 <= ahead <= _NEAR:
            self._response.close()
            self._response, self._standing = self._ask(self._place), self._place
            is_same = _size(self._response) == self._size and self._response.headers.get("ETag") == self._etag
            if self._response.status != 206 or not is_same:
                raise VideoError(f"{self.name} was changed on its server while it was read", retryable=False)
        elif ahead:
            self._standing += len(self._response.read(ahead))
            if self._standing != self._place:
                return b""
        data = self._response.read(size)
        self._standing += len(data)
        return data

    def _ask(self, first: int) -> HTTPResponse:
        request = Request(self._url, headers={"User-Agent": "videoanalysis", "Range": f"bytes={first}-"})  # noqa: S310
        if self._login:
            request.add_unredirected_header("Authorization", self._login)
        return cast("HTTPResponse", self._opener.open(request, timeout=self._timeout))


def _opener() -> OpenerDirector:
    """One that follows redirects, but only to http and https."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler, UnknownHandler, HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, HTTPRedirectHandler,
        HTTPErrorProcessor,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _size(response: HTTPResponse) -> int | None:
    """The size of the whole file."""
    found = re.search(r"/(\d+)$", response.headers.get("Content-Range", ""))
    length = found[1] if found else response.headers.get("Content-Length")
    return int(length) if length else None


def _explained(error: Exception, where: str) -> VideoError:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(error, HTTPError):
        error.close()
        return status_error(error.code, where)
    match reason:
        case TimeoutError():
            return VideoError(f"{where} did not answer in time", retryable=True)
        case ConnectionRefusedError():
            return VideoError(f"cannot connect to {where}: nothing listens there", retryable=True)
        case ssl.SSLCertVerificationError():
            return VideoError(f"{where} has no valid certificate: {reason.verify_message}", retryable=False)
        case OSError():
            return VideoError(f"cannot connect to {where}: {reason.strerror or reason}", retryable=True)
        case _:
            return VideoError(f"{where} does not answer as a web server does", retryable=True)

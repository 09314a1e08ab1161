"""Asking web servers, only where a source may be, and never for longer or for more than is allowed."""

import io
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from string import punctuation
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from ...domain.networks import Networks
from ..errors import ForbiddenAddressError, VideoError
from . import connecting

_MOST_BYTES = 256 * 2**20  # read for one packet, which bounds what it takes of memory
_MOST_REDIRECTS = 5
_BUFFER = 64 * 1024
_LEAST_BYTES = 4096  # must come while `silence` is waited, or whatever ends the wait


class StatusError(HTTPException):
    """The server answered, but with no content."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class NoAddressError(ForbiddenAddressError):
    """What should lead somewhere is no address."""

    def __init__(self) -> None:
        super().__init__("it leads to what is no address on the web")


class HttpClient:
    """The web servers on `networks`. Not thread safe.

    Nobody waits longer than `silence` seconds for some kilobytes, so that a server that drips single bytes
    counts as silent too. All reading between two calls of `begin` takes at most the seconds given there (at
    first: to the constructor). Proxies are not used: through one, nobody could say where a request ends.
    """

    def __init__(self, networks: Networks, *, silence: float, seconds: float) -> None:
        self._networks = networks
        self._silence = silence
        self.begin(seconds)

    def begin(self, seconds: float) -> None:
        """Reading for the next packet begins."""
        self._deadline = time.monotonic() + seconds
        self._bytes = 0
        self._begin_to_wait()

    def get(self, url: str, headers: Mapping[str, str]) -> HTTPResponse:
        """What is at a URL, after redirects; of the headers, Authorization stays with the first server.

        Raises VideoError, StatusError, and other HTTPExceptions and OSErrors.
        """
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._get(url, headers)
            if response.status < 300:
                response.url = url
                return response
            location = response.headers["Location"]
            response.close()
            if response.status >= 400 or location is None:
                break
            url, before = _follow(url, location), url
            if _split(url)[:3] != _split(before)[:3]:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
        raise StatusError(response.status)

    def _get(self, url: str, headers: Mapping[str, str]) -> HTTPResponse:
        self._begin_to_wait()
        secure, host, port, target = _split(url)
        connection = HTTPSConnection(host, port, context=_tls()) if secure else HTTPConnection(host, port)
        link = connecting.connect(self._networks, host, port, self._wait())
        connection.sock = _tls().wrap_socket(link, server_hostname=host) if secure else link
        connection.response_class = self._response  # type: ignore[assignment]
        try:
            connection.request("GET", target, headers={"Connection": "close", **headers})
            return connection.getresponse()
        finally:
            if connection.sock is not None:
                connection.sock.close()  # once the response, which holds on to it, is closed too

    def _response(self, link: socket.socket, *arguments: Any, **options: Any) -> HTTPResponse:
        response = HTTPResponse(link, *arguments, **options)
        response.fp.close()
        response.fp = io.BufferedReader(_TimedReader(link, self._wait, self._count), _BUFFER)
        return response

    def _begin_to_wait(self) -> None:
        self._waited, self._came = 0.0, 0

    def _wait(self) -> float:
        """How long the next read may wait. Raises TimeoutError where no time is left."""
        left = min(self._deadline - time.monotonic(), self._silence - self._waited)
        if left <= 0:
            raise TimeoutError
        return left

    def _count(self, size: int, seconds: float) -> None:
        self._waited += seconds
        self._came += size
        if self._came >= _LEAST_BYTES:
            self._begin_to_wait()
        self._bytes += size
        if self._bytes > _MOST_BYTES:
            raise VideoError(f"there is no picture within {_MOST_BYTES >> 20} MiB", retryable=False)


class _TimedReader(io.RawIOBase):
    """What comes from a server, byte by byte if it must be: each read waits as long as is left by then."""

    def __init__(
        self, link: socket.socket, wait: Callable[[], float], count: Callable[[int, float], None]
    ) -> None:
        self._link = link
        self._hold = link.makefile("rb", buffering=0)
        self._wait = wait
        self._count = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        began = time.monotonic()
        self._link.settimeout(self._wait())
        size = self._link.recv_into(buffer)
        self._count(size, time.monotonic() - began)
        return size

    def close(self) -> None:
        self._hold.close()
        super().close()


def _follow(url: str, location: str) -> str:
    """The address that a redirect leads to. Raises NoAddressError where it is none."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise NoAddressError from None


def _split(url: str) -> tuple[bool, str, int, str]:
    """Whether it is https, the host, the port, and what to ask for there. Raises NoAddressError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        target = quote(f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}", safe=punctuation)
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise NoAddressError
    secure = parts.scheme == "https"
    return secure, host, port or (443 if secure else 80), target


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()

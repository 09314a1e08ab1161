"""An HTTP client for sources: allowed addresses only, with limits on time and bytes."""

import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from string import punctuation
from typing import Any
from urllib.parse import quote, urldefrag, urljoin, urlsplit

from msgspec import Struct

from ...domain.networks import Networks
from ...domain.source import contains_control_characters
from ..errors import ForbiddenAddressError, VideoError
from . import connecting
from .login import Login, parse_challenges

_MAX_BYTES = 256 * 2**20  # per packet, which also limits the memory of one packet
_MAX_REDIRECTS = 5
_BUFFER = 64 * 1024  # bytes
_FINGERPRINT = re.compile(r"sha256=((?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2})")
_PROGRESS_BYTES = 4096  # that a server must send within the silence timeout


class StatusError(HTTPException):
    """The server answered with a status that is neither success nor a redirect to follow.

    `unsupported` names the ways to log in that the server offers, if none of them is supported.
    """

    def __init__(self, status: int, unsupported: Sequence[str] = ()) -> None:
        super().__init__(status)
        self.status = status
        self.unsupported = unsupported


class InvalidAddressError(ForbiddenAddressError):
    """A redirect or a playlist entry is not a valid http or https address."""

    def __init__(self) -> None:
        super().__init__("it leads to an invalid http address")


class _Pin(Struct, frozen=True):
    """The certificate that a server must have instead of a valid one: its SHA-256."""

    host: str
    port: int
    digest: bytes


class HttpClient:
    """Sends GET requests to servers on `networks`. Not thread safe.

    A read fails after `silence_timeout` seconds with less than 4 KiB, so that a server that drips single
    bytes counts as silent. All reads between two calls of `start_packet` take at most the seconds given to it
    (before the first call: to the constructor). Proxies are not used, because a proxy would decide which
    address a request reaches.

    If the first URL ends in `#sha256=` and a fingerprint, its server must have the certificate with that
    fingerprint, and need not have a valid one: cameras make their own.
    """

    def __init__(self, networks: Networks, *, silence_timeout: float, timeout: float) -> None:
        self._networks = networks
        self._silence_timeout = silence_timeout
        self._pin: _Pin | None = None
        self._has_begun = False
        self._login: tuple[str, Login] | None = None  # the latest, and for which user and host
        self.start_packet(timeout)

    def start_packet(self, timeout: float) -> None:
        """Start to read the next packet, which may take `timeout` seconds and 256 MiB."""
        self._deadline = time.monotonic() + timeout
        self._bytes = 0
        self._reset_silence()

    def get(self, url: str, headers: Mapping[str, str]) -> HTTPResponse:
        """Request a URL, follow redirects, and return the response; its `url` is the last one.

        If the first server asks for it, it gets the user name and password in the URL; no other server does.

        Raises:
            StatusError: the status is no success, or there are more than 5 redirects.
            VideoError: the server sent too many bytes.
            HTTPException, OSError: the server cannot be reached, or sends no HTTP.
        """
        if not self._has_begun:
            self._has_begun, self._pin = True, _pin_in(url)
        url = urldefrag(url).url
        login = self._login_of(url)
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._get_logged_in(url, headers, login)
            if response.status < 300:
                response.url = url
                return response
            location = response.headers["Location"]
            response.close()
            if response.status >= 400 or location is None:
                break
            url, previous = _join(url, location), url
            if _split(url)[:3] != _split(previous)[:3]:
                login = None
        raise StatusError(response.status)

    def _login_of(self, url: str) -> Login | None:
        """Return the log-in of a URL, which remembers what the server asked for last."""
        place = _netloc(url)
        userinfo = place.rpartition("@")[0]
        if contains_control_characters(userinfo):
            raise InvalidAddressError
        if userinfo and (self._login is None or self._login[0] != place):
            self._login = place, Login(userinfo)
        return self._login[1] if userinfo and self._login else None

    def _get_logged_in(self, url: str, headers: Mapping[str, str], login: Login | None) -> HTTPResponse:
        response = self._get(url, headers, login)
        challenges = parse_challenges(response.headers.get_all("WWW-Authenticate", []))
        if response.status != 401 or login is None or not challenges:
            return response
        response.close()
        if not login.take(challenges):
            raise StatusError(401, sorted({str(challenge) for challenge in challenges}))
        return self._get(url, headers, login)

    def _get(self, url: str, headers: Mapping[str, str], login: Login | None) -> HTTPResponse:
        self._reset_silence()
        is_secure, host, port, target = _split(url)
        fields: dict[str, str | bytes] = {"Connection": "close", **headers}
        if authorization := login and login.authorize("GET", target):
            fields["Authorization"] = authorization.encode()
        named = host.partition("%")[0]  # the zone of an IPv6 address has a meaning on this machine only
        connection = (
            HTTPSConnection(named, port, context=_tls_context()) if is_secure else HTTPConnection(named, port)
        )
        tcp = connecting.connect(self._networks, host, port, self._time_left())
        connection.sock = self._encrypt(tcp, host, port) if is_secure else tcp
        connection.response_class = self._response  # type: ignore[assignment]
        try:
            connection.request("GET", target, headers=fields)
            return connection.getresponse()
        finally:
            if connection.sock is not None:
                connection.sock.close()  # the response keeps the socket open until it is closed itself

    def _encrypt(self, tcp: socket.socket, host: str, port: int) -> ssl.SSLSocket:
        pin = self._pin
        if pin is None or (pin.host, pin.port) != (host, port):
            return _tls_context().wrap_socket(tcp, server_hostname=host)
        secure = _unchecked_tls_context().wrap_socket(tcp, server_hostname=host)
        if sha256(secure.getpeercert(binary_form=True) or b"").digest() != pin.digest:
            secure.close()
            raise VideoError(
                f"{host} has another certificate than the one in the address: compare its fingerprint",
                retryable=False,
            )
        return secure

    def _response(self, sock: socket.socket, *arguments: Any, **options: Any) -> HTTPResponse:
        response = HTTPResponse(sock, *arguments, **options)
        response.fp.close()
        response.fp = io.BufferedReader(_TimedReader(sock, self._time_left, self._count), _BUFFER)
        return response

    def _reset_silence(self) -> None:
        self._silent_seconds, self._silent_bytes = 0.0, 0

    def _time_left(self) -> float:
        """Return the timeout of the next read, in seconds. Raises TimeoutError if no time is left."""
        left = min(self._deadline - time.monotonic(), self._silence_timeout - self._silent_seconds)
        if left <= 0:
            raise TimeoutError
        return left

    def _count(self, size: int, seconds: float) -> None:
        self._silent_seconds += seconds
        self._silent_bytes += size
        if self._silent_bytes >= _PROGRESS_BYTES:
            self._reset_silence()
        self._bytes += size
        if self._bytes > _MAX_BYTES:
            raise VideoError(f"there is no picture within {_MAX_BYTES >> 20} MiB", retryable=False)


class _TimedReader(io.RawIOBase):
    """Reads from a socket. Each read has the time that `time_left` returns, and is reported to `count`."""

    def __init__(
        self, sock: socket.socket, time_left: Callable[[], float], count: Callable[[int, float], None]
    ) -> None:
        self._socket = sock
        self._file = sock.makefile("rb", buffering=0)  # keeps the socket open until this reader is closed
        self._time_left = time_left
        self._count = count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        started = time.monotonic()
        self._socket.settimeout(self._time_left())
        size = self._socket.recv_into(buffer)
        self._count(size, time.monotonic() - started)
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        raise InvalidAddressError from None


def _join(url: str, location: str) -> str:
    """Return the address that a redirect leads to. Raises InvalidAddressError."""
    try:
        return urljoin(url, location)
    except ValueError:
        raise InvalidAddressError from None


def _pin_in(url: str) -> _Pin | None:
    """Return the certificate that the fragment of a URL names, None if it names none."""
    found = _FINGERPRINT.fullmatch(url.partition("#")[2])
    if found is None:
        return None
    _, host, port, _ = _split(url)
    return _Pin(host, port, bytes.fromhex(found[1].replace(":", "")))


def _split(url: str) -> tuple[bool, str, int, str]:
    """Return whether a URL is https, its host, its port, and its request target.

    Raises InvalidAddressError.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        target = quote(f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}", safe=punctuation)
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https"):
        raise InvalidAddressError
    is_secure = parts.scheme == "https"
    return is_secure, host, port or (443 if is_secure else 80), target


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


@cache
def _unchecked_tls_context() -> ssl.SSLContext:
    """Return a context for a server whose certificate is compared with a fingerprint instead."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

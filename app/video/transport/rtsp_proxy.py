"""The way to a camera, which leads nowhere else.

FFmpeg's RTSP follows redirects and names that change their address wherever they lead, and takes replies of
any length. So it is let connect only to this relay, on loopback.
"""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from selectors import EVENT_READ, DefaultSelector
from typing import cast
from urllib.parse import urlsplit

from ...concurrency.threads import start_thread
from ...domain.networks import Networks
from ...domain.source import SourceError, parse_source
from ..errors import VideoError, unreachable
from . import connecting

_MOST_REDIRECTS = 5
_MOST_HEAD, _MOST_BODY = 16 * 2**10, 2**18  # bytes of a reply
_CHUNK = 64 * 2**10
_HEAD_END = re.compile(rb"\r?\n\r?\n")


class RtspProxy:
    """Between FFmpeg, which is to open `url`, and a camera on `networks`; a thread of its own until `close`.

    Until pictures come, each reply is rewritten, so that FFmpeg reads what was checked; a redirect leads back
    to the relay, which follows it. `fault` is why there is no way to the camera, once FFmpeg was let down.
    """

    def __init__(self, address: str, name: str, networks: Networks, timeout: float) -> None:
        """Connect within `timeout` seconds; `name` is the camera's for messages. Raises VideoError."""
        self.fault: VideoError | None = None
        self._name = name
        self._networks = networks
        self._timeout = timeout
        self._target: str | None = None
        self._closed = False
        self._server = self._connect(address)
        self._client: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(timeout)
        self.url = self._local(address)
        start_thread("camera", self._run)

    def close(self) -> None:
        """End it: the thread, which waits for nothing else, then closes every connection."""
        self._closed = True
        for connection in self._connections():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _connections(self) -> list[socket.socket]:
        return [self._listener, self._server, *([self._client] if self._client else [])]

    def _connect(self, address: str) -> socket.socket:
        parts = urlsplit(address)
        secure = parts.scheme == "rtsps"
        host, port = parts.hostname or "", parts.port or (322 if secure else 554)
        try:
            connection = connecting.connect(self._networks, host, port, self._timeout)
            return _tls().wrap_socket(connection, server_hostname=host) if secure else connection
        except OSError as error:
            raise unreachable(error, self._name) from None

    def _local(self, address: str) -> str:
        """The same path, at this relay."""
        parts = urlsplit(address)
        login, at, _ = parts.netloc.rpartition("@")
        here = f"{login}{at}127.0.0.1:{self._listener.getsockname()[1]}"
        return parts._replace(scheme="rtsp", netloc=here).geturl()

    def _run(self) -> None:
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                self._client, _ = self._listener.accept()
                target = self._relay(self._client)
                if target is None or self._closed:
                    return
                self._client.close()
                self._server.close()
                self._server = self._connect(target)
            self.fault = VideoError(f"{self._name} redirects without end", retryable=False)
        except VideoError as fault:
            self.fault = fault
        except OSError:
            pass  # FFmpeg did not come, or no longer
        finally:
            for connection in self._connections():
                connection.close()

    def _relay(self, client: socket.socket) -> str | None:
        """Until one side ends or is lost; then where the camera redirected to, if it did.

        Raises VideoError for what no camera says.
        """
        self._target = None
        with suppress(OSError):
            self._exchange(client)
        return self._target

    def _exchange(self, client: socket.socket) -> None:
        unread = bytearray()
        playing = False
        with DefaultSelector() as selector:
            for connection in (client, self._server):
                selector.register(connection, EVENT_READ)
            while True:
                for key, _ in selector.select():
                    connection = cast("socket.socket", key.fileobj)
                    data = _receive(connection)
                    if data is None:
                        continue
                    if not data:
                        return
                    if connection is client:
                        # From here on FFmpeg follows no redirects, and bears noise between packets.
                        playing = playing or data.startswith(b"PLAY ")
                        self._server.sendall(data)
                        continue
                    unread += data
                    if playing:
                        client.sendall(unread)
                        unread.clear()
                    else:
                        client.sendall(b"".join(self._checked(unread)))

    def _checked(self, unread: bytearray) -> Iterator[bytes]:
        """Takes off what came whole: packets as they are, replies rewritten. Raises VideoError."""
        while True:
            while unread and unread[0] in b"\r\n":
                del unread[0]
            if unread[:1] == b"$":
                end = 4 + int.from_bytes(unread[2:4])
                if len(unread) < max(end, 4):
                    return
                yield bytes(unread[:end])
            else:
                found = _HEAD_END.search(unread)
                if found is None and len(unread) <= _MOST_HEAD:
                    return
                reply = _Reply(bytes(unread[: found.start() if found else 0]))
                if not reply.status or found is None or not 0 <= reply.length <= _MOST_BODY:
                    raise VideoError(f"{self._name} does not answer as a camera does", retryable=True)
                end = found.end() + reply.length
                if len(unread) < end:
                    return
                if 300 <= reply.status < 400:
                    reply.headers.append(("Location", self._follow(reply.location)))
                yield reply.head() + bytes(unread[found.end() : end])
            del unread[:end]

    def _follow(self, location: str) -> str:
        """Remember where a redirect leads, and lead FFmpeg back here."""
        try:
            source = parse_source(location)
        except SourceError:
            source = None
        if source is None or source.kind != "rtsp":
            raise VideoError(f"{self._name} redirects to what is no camera's address", retryable=False)
        self._target = location
        return self._local(location)


class _Reply:
    """A reply's head, reduced to what can be read in one way only."""

    def __init__(self, text: bytes) -> None:
        """`status` is 0 where it is no reply, `length` that of the body."""
        head = text.decode("latin-1")
        status = re.match(r"RTSP/1\.\d (\d{3})\b", head, re.ASCII)
        headers = re.findall(r"^([A-Za-z][A-Za-z0-9-]*)[ \t]*:[ \t]*([ -~]*)", head, re.MULTILINE)
        lengths = {value for name, value in headers if name.lower() == "content-length"}
        locations = [value for name, value in headers if name.lower() == "location"]
        self.status = int(status[1]) if status else 0
        self.location = locations[0] if locations else ""
        self.length = 0
        if lengths:
            length = lengths.pop()
            self.length = int(length) if not lengths and re.fullmatch(r"\d{1,9}", length) else -1
        self.headers = [
            (name, value) for name, value in headers if name.lower() not in ("location", "content-length")
        ]

    def head(self) -> bytes:
        """As it goes to FFmpeg."""
        headers = [*self.headers, ("Content-Length", str(self.length))]
        lines = [f"RTSP/1.0 {self.status} -", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")


def _receive(connection: socket.socket) -> bytes | None:
    """What there is: nothing at the end, and None where it was only TLS talking to itself."""
    patience = connection.gettimeout()
    connection.settimeout(0)
    try:
        data = connection.recv(_CHUNK)
        # What TLS has already decrypted does not show in a selector.
        while isinstance(connection, ssl.SSLSocket) and (waiting := connection.pending()):
            data += connection.recv(waiting)
    except ssl.SSLWantReadError:
        return None
    finally:
        connection.settimeout(patience)
    return data


@cache
def _tls() -> ssl.SSLContext:
    """Without certificates: those of cameras are their own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

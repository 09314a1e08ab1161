"""An RTSP proxy on loopback, the only address that FFmpeg connects to.

FFmpeg's RTSP client follows redirects, and host names whose address changes, to any address, and accepts
replies of any length.
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

from ....concurrency.threads import start_thread
from ....domain.networks import Networks
from ....domain.source import SourceError, parse_source
from ...errors import VideoError, connection_error
from .. import connecting
from .messages import RtspReply

_MAX_REDIRECTS = 5
_MAX_HEAD, _MAX_BODY = 16 * 2**10, 2**18  # bytes of a reply
_CHUNK = 64 * 2**10  # bytes
_HEAD_END = re.compile(rb"\r?\n\r?\n")


class RtspProxy:
    """Connects FFmpeg, which opens `url`, to a camera on `networks`. Runs a thread until `close`.

    Until the video plays, each reply is parsed, checked and written anew, so that FFmpeg reads exactly what
    was checked. A redirect sends FFmpeg back to the proxy, which connects to the new address. `fault` is the
    reason why the proxy ended the connection, None if the camera or FFmpeg ended it.
    """

    def __init__(self, address: str, name: str, networks: Networks, timeout: float) -> None:
        """Connect within `timeout` seconds; `name` stands for the camera in messages. Raises VideoError."""
        self.fault: VideoError | None = None
        self._name = name
        self._networks = networks
        self._timeout = timeout
        self._redirect: str | None = None
        self._is_closed = False
        self._camera = self._connect(address)
        self._client: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(timeout)
        self.url = self._local_url(address)
        start_thread("camera", self._run)

    def close(self) -> None:
        """End the thread, which then closes all connections."""
        self._is_closed = True
        for connection in self._connections():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _connections(self) -> list[socket.socket]:
        return [self._listener, self._camera, *([self._client] if self._client else [])]

    def _connect(self, address: str) -> socket.socket:
        parts = urlsplit(address)
        is_secure = parts.scheme == "rtsps"
        host, port = parts.hostname or "", parts.port or (322 if is_secure else 554)
        try:
            connection = connecting.connect(self._networks, host, port, self._timeout)
            return _tls_context().wrap_socket(connection, server_hostname=host) if is_secure else connection
        except OSError as error:
            raise connection_error(error, self._name) from None

    def _local_url(self, address: str) -> str:
        """Return the URL of the same path, with the same user name and password, at this proxy."""
        parts = urlsplit(address)
        login, at, _ = parts.netloc.rpartition("@")
        netloc = f"{login}{at}127.0.0.1:{self._listener.getsockname()[1]}"
        return parts._replace(scheme="rtsp", netloc=netloc).geturl()

    def _run(self) -> None:
        try:
            for _ in range(_MAX_REDIRECTS + 1):
                self._client, _ = self._listener.accept()
                redirect = self._forward(self._client)
                if redirect is None or self._is_closed:
                    return
                self._client.close()
                self._camera.close()
                self._camera = self._connect(redirect)
            self.fault = VideoError(
                f"{self._name} redirects more than {_MAX_REDIRECTS} times", retryable=False
            )
        except VideoError as fault:
            self.fault = fault
        except OSError:
            pass  # FFmpeg did not connect, or closed the connection
        finally:
            for connection in self._connections():
                connection.close()

    def _forward(self, client: socket.socket) -> str | None:
        """Forward data until one side closes or is lost; return where the camera redirected to, if it did.

        Raises VideoError for a reply that is not allowed.
        """
        self._redirect = None
        with suppress(OSError):
            self._exchange(client)
        return self._redirect

    def _exchange(self, client: socket.socket) -> None:
        unread = bytearray()  # from the camera
        is_playing = False
        with DefaultSelector() as selector:
            for connection in (client, self._camera):
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
                        # After PLAY, FFmpeg follows no redirect and tolerates unknown data between packets.
                        is_playing = is_playing or data.startswith(b"PLAY ")
                        self._camera.sendall(data)
                        continue
                    unread += data
                    if is_playing:
                        client.sendall(unread)
                        unread.clear()
                    else:
                        client.sendall(b"".join(self._checked(unread)))

    def _checked(self, unread: bytearray) -> Iterator[bytes]:
        """Remove each complete packet and reply; yield packets unchanged and replies written anew.

        Raises VideoError for a reply that is not allowed.
        """
        while True:
            while unread and unread[0] in b"\r\n":
                del unread[0]
            if unread[:1] == b"$":  # interleaved RTP: "$", channel, length in 2 bytes
                end = 4 + int.from_bytes(unread[2:4])
                if len(unread) < max(end, 4):
                    return
                yield bytes(unread[:end])
            else:
                found = _HEAD_END.search(unread)
                if found is None and len(unread) <= _MAX_HEAD:
                    return
                reply = RtspReply(bytes(unread[: found.start() if found else 0]))
                if not reply.status or found is None or not 0 <= reply.body_length <= _MAX_BODY:
                    raise VideoError(
                        f"{self._name} sends invalid RTSP replies: check the address and port", retryable=True
                    )
                end = found.end() + reply.body_length
                if len(unread) < end:
                    return
                if 300 <= reply.status < 400:
                    reply.headers.append(("Location", self._note_redirect(reply.location)))
                yield reply.encode() + bytes(unread[found.end() : end])
            del unread[:end]

    def _note_redirect(self, location: str) -> str:
        """Remember where a redirect leads, and return this proxy's URL for it."""
        try:
            source = parse_source(location)
        except SourceError:
            source = None
        if source is None or source.kind != "rtsp":
            raise VideoError(
                f"{self._name} redirects to an address that is not rtsp: or rtsps:", retryable=False
            )
        self._redirect = location
        return self._local_url(location)


def _receive(connection: socket.socket) -> bytes | None:
    """Return the received bytes: `b""` at EOF, None if only TLS control data arrived."""
    timeout = connection.gettimeout()
    connection.settimeout(0)
    try:
        data = connection.recv(_CHUNK)
        # A selector does not see bytes that TLS has already decrypted.
        while isinstance(connection, ssl.SSLSocket) and (pending := connection.pending()):
            data += connection.recv(pending)
    except ssl.SSLWantReadError:
        return None
    finally:
        connection.settimeout(timeout)
    return data


@cache
def _tls_context() -> ssl.SSLContext:
    """Return a context that accepts every certificate, because cameras sign their own."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

"""An RTSP proxy on loopback, the only address that FFmpeg connects to.

FFmpeg's RTSP client follows redirects, and host names whose address changes, to any address, and accepts
replies of any length. It knows no log-in with SHA-256 and no password of more than 120 characters.
"""

import os
import re
import select
import socket
import ssl
import time
from contextlib import suppress
from functools import cache
from urllib.parse import urlsplit

from ....concurrency.threads import start_thread
from ....domain.networks import Networks
from ....domain.sampling import EveryFrame, FixedRate, Sampling
from ...errors import VideoError, connection_error
from .. import connecting
from ..login import Login
from .addresses import CameraAddresses, without_login
from .conversation import Conversation
from .messages import RtspReply, RtspRequest

_MAX_REDIRECTS = 5
_MAX_HEAD, _MAX_BODY = 16 * 2**10, 2**18  # bytes of a reply
_CHUNK = 64 * 2**10  # bytes
_MAX_GATHERED = 0.1  # seconds
_HEAD_END = re.compile(rb"\r?\n\r?\n")


class RtspProxy:
    """Connects FFmpeg, which opens `url`, to a camera on `networks`. Runs a thread until `close`.

    Each request and reply is parsed and written anew, so that FFmpeg reads exactly what was checked, and the
    camera reads its own address. The proxy logs in: FFmpeg knows no user name and no password. A redirect
    sends FFmpeg back to the proxy, which connects to the new address.
    """

    def __init__(self, address: str, name: str, networks: Networks, timeout: float) -> None:
        """Connect within `timeout` seconds; `name` stands for the camera in messages. Raises VideoError."""
        self._fault: VideoError | None = None
        self._name = name
        self._networks = networks
        self._timeout = timeout
        self._userinfo: str | None = None
        self._is_closed = False
        self._gathered = 0.0
        self._camera = self._connect(address)
        self._client: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(timeout)
        self.url = f"rtsp://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._conversation = self._start_conversation(address)
        start_thread("camera", self._run)

    @property
    def fault(self) -> VideoError | None:
        """Why the video does not play, None if neither the proxy nor an unanswered request is the reason."""
        if self._fault is None and self._conversation.is_waiting:
            return VideoError(f"{self._name} did not answer in time", retryable=True)
        return self._fault

    def gather_for(self, sampling: Sampling) -> None:
        """Forward packets together, so that frames are late by at most a fifth of the time between samples.

        To wake two threads for each packet costs a tenth of decoding 720p (measured). Packets that come less
        often are forwarded at once.
        """
        if not isinstance(sampling, EveryFrame):
            fps = sampling.fps if isinstance(sampling, FixedRate) else 1.0
            self._gathered = min(_MAX_GATHERED, 0.2 / fps)

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
                self._conversation = self._start_conversation(redirect)
            self._fault = VideoError(
                f"{self._name} redirects more than {_MAX_REDIRECTS} times", retryable=False
            )
        except VideoError as fault:
            self._fault = fault
        except OSError:
            pass  # FFmpeg did not connect, or closed the connection
        finally:
            for connection in self._connections():
                connection.close()

    def _start_conversation(self, address: str) -> Conversation:
        userinfo, at, _ = urlsplit(address).netloc.rpartition("@")
        if at:
            self._userinfo = userinfo  # else, after a redirect, the log-in stays the same
        login = None if self._userinfo is None else Login(self._userinfo)
        addresses = CameraAddresses(without_login(address), self.url)
        return Conversation(addresses, self.url, self._name, login)

    def _forward(self, client: socket.socket) -> str | None:
        """Forward data until one side closes or is lost; return where the camera redirected to, if it did.

        Raises VideoError for a reply that is not allowed.
        """
        with suppress(OSError):
            self._exchange(client)
        return self._conversation.redirect

    def _exchange(self, client: socket.socket) -> None:
        asked, answered = bytearray(), bytearray()  # what is not forwarded yet
        both, asking = select.poll(), select.poll()
        for connection in (client, self._camera):
            both.register(connection, select.POLLIN)
        asking.register(client, select.POLLIN)
        is_frequent = False  # whether waiting would gather several of the camera's packets
        received_at = 0.0
        while True:
            if is_frequent and self._gathered and self._conversation.is_playing:
                asking.poll(1000 * self._gathered)
            for descriptor, _ in both.poll():
                connection = client if descriptor == client.fileno() else self._camera
                data = _receive(connection)
                if data is None:
                    continue
                if not data:
                    return
                if connection is client:
                    asked += data
                    self._camera.sendall(self._take_requests(asked))
                else:
                    before, received_at = received_at, time.monotonic()
                    has_more = len(data) >= _CHUNK  # of which not each part must wait
                    is_frequent = not has_more and received_at - before < 1.5 * self._gathered
                    answered += data
                    client.sendall(self._take_replies(answered))

    def _take_requests(self, unread: bytearray) -> bytes:
        """Remove what is complete of FFmpeg's data; return what the camera is sent for it."""
        sent = bytearray()
        while unread:
            if end := _frames_end(unread):
                sent += unread[:end]
                del unread[:end]
                continue
            found = _HEAD_END.search(unread)
            if found is None or unread[:1] == b"$":
                break
            request = RtspRequest(bytes(unread[: found.start()]))
            end = found.end() + max(request.body_length, 0)
            if len(unread) < end:
                break
            body = bytes(unread[found.end() : end])
            # FFmpeg also answers requests of the camera.
            sent += self._conversation.ask(request, body) if request.method else unread[:end]
            del unread[:end]
        return bytes(sent)

    def _take_replies(self, unread: bytearray) -> bytes:
        """Remove what is complete of the camera's data; return what FFmpeg is sent for it.

        Raises VideoError for a reply that is not allowed.
        """
        sent = bytearray()
        while unread:
            end = _frames_end(unread)
            if not end and self._conversation.is_playing and not b"RTSP/".startswith(unread[:5]):
                end = unread.find(b"\n") + 1  # FFmpeg skips it, or answers if it is a request
            if end:
                sent += unread[:end]
                del unread[:end]
                continue
            while unread and unread[0] in b"\r\n":
                del unread[0]
            found = _HEAD_END.search(unread)
            if unread[:1] == b"$" or (found is None and len(unread) <= _MAX_HEAD):
                break
            reply = RtspReply(bytes(unread[: found.start() if found else 0]))
            if not reply.status or found is None or not 0 <= reply.body_length <= _MAX_BODY:
                raise VideoError(
                    f"{self._name} sends invalid RTSP replies: check the address and port", retryable=True
                )
            end = found.end() + reply.body_length
            if len(unread) < end:
                break
            to_camera, to_client = self._conversation.answer(reply, bytes(unread[found.end() : end]))
            if to_camera:
                self._camera.sendall(to_camera)
            sent += to_client
            del unread[:end]
        return bytes(sent)


def _frames_end(data: bytearray) -> int:
    """Return where the complete frames of interleaved RTP end that `data` begins with."""
    end, size = 0, len(data)
    while size - end >= 4 and data[end] == 36:  # "$", channel, length in 2 bytes
        after = end + 4 + (data[end + 2] << 8) + data[end + 3]
        if after > size:
            break
        end = after
    return end


def _receive(connection: socket.socket) -> bytes | None:
    """Return the received bytes: `b""` at EOF, None if only TLS control data arrived.

    If there are fewer than _CHUNK, these are all that have arrived.
    """
    if not isinstance(connection, ssl.SSLSocket):
        # There are data. `recv` would wait for them if there is a timeout, and so release the GIL twice.
        try:
            return os.read(connection.fileno(), _CHUNK)
        except BlockingIOError:
            return None
    timeout = connection.gettimeout()
    connection.settimeout(0)
    data = b""
    try:
        # Each call returns a whole record: a selector would not see a rest that TLS has decrypted.
        while len(data) < _CHUNK and (record := connection.recv(_CHUNK)):
            data += record
    except ssl.SSLWantReadError:
        return data or None
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

"""An RTSP server that logs in, checks addresses, refuses and falls silent as cameras do."""

import hashlib
import re
import socket
import struct
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import BinaryIO, Self

import av
from av.bitstream import BitStreamFilterContext

_MOST = 60_000  # bytes of a packet's payload, whose length has 16 bits
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class RtspServer:
    """Sends a clip again and again to each client, over TCP.

    Attributes may be changed before a client connects:

    - `challenges`: what WWW-Authenticate says; the log-in is `user` and `password`.
    - `address`: the only address that it knows, with `/track1` for its track; another one is a 404.
    - `content_base`, `control`: what it says of its addresses.
    - `statuses`: the status by method, if not 200. `silent`, `closing`: methods that it does not answer, or
      for which it closes the connection.
    - `session_seconds`: it ends a session without one of `signs_of_life` for so long.
    - `interval`: seconds between pictures. `pictures`: how many it sends before it closes a connection.
    - `speedup`: how many pictures come at once at the beginning.
    - `has_key_frames`: without them, no picture can be decoded.
    - `groups`: so many groups of clients are sent the same packets by one thread, one group after the other
      in each interval; none: each client has a thread, and begins with the first picture.

    `requests` are the method and address of each request, `logins` counts those with a log-in.
    """

    def __init__(self, clip: Path) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.challenges: Sequence[str] = ()
        self.user, self.password = "admin", "s3cret"
        self.address: str | None = None
        self.content_base: str | None = None
        self.control = "track1"
        self.statuses: dict[str, int] = {}
        self.silent: frozenset[str] = frozenset()
        self.closing: frozenset[str] = frozenset()
        self.session_seconds: float | None = None
        self.signs_of_life: frozenset[str] = frozenset(["GET_PARAMETER", "OPTIONS"])
        self.interval = 0.04
        self.pictures: int | None = None
        self.has_key_frames = True
        self.speedup = 0
        self.groups = 0
        self.requests: list[tuple[str, str]] = []
        self.logins = 0
        self._clients: list[socket.socket] = []
        self._viewers: list[socket.socket] = []
        self.load(clip)

    def load(self, clip: Path) -> None:
        """Send this clip to clients that connect from now on."""
        with av.open(clip) as container:
            stream = container.streams.video[0]
            to_units = BitStreamFilterContext("h264_mp4toannexb", stream)
            coded = [bytes(out) for packet in container.demux(stream) for out in to_units.filter(packet)]
        self._frames = [[unit for unit in re.split(b"\0\0\0?\1", data) if unit] for data in coded if data]

    def url(self, path: str = "/live", login: str = "") -> str:
        """Return an address of it."""
        return f"rtsp://{login}127.0.0.1:{self.port}{path}"

    def __enter__(self) -> Self:
        Thread(target=self._serve, daemon=True).start()
        if self.groups:
            Thread(target=self._send_to_groups, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def play(self, client: socket.socket) -> None:
        """Send the clip to this client, too, from where it is."""
        self._viewers.append(client)

    def packets(self, tick: int, number: int) -> list[bytes]:
        """Return the interleaved packets of a picture, of which the first one has this number."""
        units = self._frames[tick % len(self._frames)]
        if not self.has_key_frames:
            units = [unit for unit in units if unit[0] & 31 != 5]
        packets = []
        units = [part for unit in units for part in _parts(unit)]
        for place, unit in enumerate(units, 1):
            marker = 0x80 * (place == len(units))
            when = int(90_000 * self.interval * tick) & 0xFFFFFFFF
            packet = struct.pack(">BBHII", 0x80, 96 | marker, number + place - 1 & 0xFFFF, when, 1) + unit
            packets.append(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
        return packets

    def _send_to_groups(self) -> None:
        began = time.monotonic()
        number = tick = 0
        while self._listener.fileno() != -1:
            packets = self.packets(tick, number)
            number += len(packets)
            for group in range(self.groups):
                time.sleep(max(0.0, began + self.interval * (tick + group / self.groups) - time.monotonic()))
                for client in self._viewers[group :: self.groups]:
                    self._send(client, b"".join(packets))
            tick += 1

    def _send(self, client: socket.socket, data: bytes) -> None:
        """Send without waiting; a client that does not read is hung up on."""
        try:
            is_sent = client.send(data, socket.MSG_DONTWAIT) == len(data)
        except OSError:
            is_sent = False
        if not is_sent:
            self._viewers.remove(client)
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """Close the connections of all clients."""
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                Thread(target=_Client(self, client).talk, daemon=True).start()

    def is_known(self, uri: str) -> bool:
        """Whether it serves this address."""
        return self.address is None or uri.rstrip("/") in (self.address, f"{self.address}/track1")

    def accepts(self, method: str, uri: str, header: str) -> bool:
        """Whether an Authorization header is right. It counts as a try to log in."""
        self.logins += 1
        if header.startswith("Basic "):
            return b64decode(header[6:]).decode() == f"{self.user}:{self.password}"
        given = {
            name: quoted or token
            for name, quoted, token in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', header)
        }
        make_hash = _HASHES[given.get("algorithm", "MD5")]

        def digest(*parts: str) -> str:
            return make_hash(":".join(parts).encode()).hexdigest()

        nonce = [given["nonce"]]
        body = [digest("")] if given.get("qop") == "auth-int" else []
        if "qop" in given:
            nonce += [given["nc"], given["cnonce"], given["qop"]]
        secret = digest(self.user, given["realm"], self.password)
        right = digest(secret, *nonce, digest(method, uri, *body))
        return (given["uri"], given["response"]) == (uri, right)

    @property
    def description(self) -> str:
        """The SDP."""
        sets = [unit for unit in self._frames[0] if unit[0] & 31 in (7, 8)]
        return (
            "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets="
            f"{','.join(b64encode(unit).decode() for unit in sets)}\r\na=control:{self.control}\r\n"
        )

    @property
    def frames(self) -> list[list[bytes]]:
        """The units of each picture."""
        return self._frames


class _Client:
    """One connection to an RtspServer."""

    def __init__(self, server: RtspServer, connection: socket.socket) -> None:
        self._server = server
        self._connection = connection
        self._alive_at = time.monotonic()

    def talk(self) -> None:
        """Answer until the connection is closed."""
        with self._connection, self._connection.makefile("rb") as lines, suppress(OSError, ValueError):
            while self._answer(lines):
                pass

    def _answer(self, lines: BinaryIO) -> bool:
        request = (_skip_reports(lines) + lines.readline()).decode()
        while (line := lines.readline().decode()) != "\r\n":
            if not line:  # the client has closed the connection
                return False
            request += line
        method, uri = request.split()[:2]
        server = self._server
        server.requests.append((method, uri))
        if method in server.signs_of_life:
            self._alive_at = time.monotonic()
        if method in server.closing:
            return False
        if method in server.silent:
            return True
        headers = [re.search(r"CSeq: \d+", request)[0]]  # type: ignore[index]
        given = re.search(r"^Authorization: (.*)\r$", request, re.MULTILINE)
        status, body = server.statuses.get(method, 200), ""
        if server.challenges and not (given and server.accepts(method, uri, given[1])):
            status = 401
            headers += [f"WWW-Authenticate: {challenge}" for challenge in server.challenges]
        elif not server.is_known(uri):
            status = 404
        elif status == 200:
            added, body = self._success(method)
            headers += added
        head = "\r\n".join([f"RTSP/1.0 {status} -", *headers, f"Content-Length: {len(body)}"])
        self._connection.sendall(f"{head}\r\n\r\n{body}".encode())
        if method == "PLAY" and status == 200:
            if server.groups:
                server.play(self._connection)
            else:
                Thread(target=self._play, daemon=True).start()
        return True

    def _success(self, method: str) -> tuple[list[str], str]:
        server = self._server
        timeout = "" if server.session_seconds is None else f";timeout={server.session_seconds:.0f}"
        match method:
            case "DESCRIBE":
                base = [] if server.content_base is None else [f"Content-Base: {server.content_base}"]
                return ["Content-Type: application/sdp", *base], server.description
            case "SETUP":
                return [f"Session: 1{timeout}", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"], ""
            case "OPTIONS":
                return ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER"], ""
            case _:
                return [f"Session: 1{timeout}"], ""

    def _play(self) -> None:
        server = self._server
        self._alive_at = time.monotonic()
        number = tick = 0
        with suppress(OSError):
            while server.pictures is None or tick < server.pictures:
                for packet in server.packets(tick, number):
                    self._connection.sendall(packet)
                    number += 1
                tick += 1
                if tick >= server.speedup:
                    time.sleep(server.interval)
                limit = server.session_seconds
                if limit is not None and time.monotonic() - self._alive_at > limit:
                    break
            self._connection.shutdown(socket.SHUT_RDWR)


def _parts(unit: bytes) -> list[bytes]:
    """Return the payloads of a unit: itself, or fragments (FU-A of RFC 6184) if it is too long."""
    if len(unit) <= _MOST:
        return [unit]
    indicator, kind = unit[0] & 0xE0 | 28, unit[0] & 31
    starts = range(1, len(unit), _MOST)
    return [
        bytes([indicator, 0x80 * (start == 1) | 0x40 * (start == starts[-1]) | kind])
        + unit[start : start + _MOST]
        for start in starts
    ]


def _skip_reports(lines: BinaryIO) -> bytes:
    """Read past the reports that the client sends of what it received; return the byte after them."""
    while (byte := lines.read(1)) == b"$":
        lines.read(int.from_bytes(lines.read(3)[1:]))  # its length is in the last two bytes
    return byte

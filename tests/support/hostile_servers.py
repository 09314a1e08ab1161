"""Servers that lead astray, and canaries that notice who was led."""

import ctypes
import os
import re
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Self
from urllib.parse import urlsplit

HERE = "127.0.0.1"
"""Where hostile servers are, and sources may be."""

INSIDE = "127.0.0.2"
"""Where none may be: an address that the canary listens on."""

Answer = bytes | None
"""What a server sends; None: it goes on saying nothing."""

RTSP_OK = b"RTSP/1.0 200 OK\r\nCSEQ\r\n"
_IN_OPEN = 0x20


def serve(answer: Callable[[bytes], Answer], listener: socket.socket) -> None:
    """Answer each request on each connection, until the listener is closed. For a thread."""

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            unread = b""
            while data := connection.recv(65536):
                unread += data
                while b"\r\n\r\n" in unread:
                    request, _, unread = unread.partition(b"\r\n\r\n")
                    if (said := answer(request)) is not None:
                        connection.sendall(said)
                        if said.startswith(b"HTTP/"):
                            return

    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            Thread(target=talk, args=(connection,), daemon=True).start()


@contextmanager
def listening(answer: Callable[[bytes], Answer]) -> Iterator[int]:
    """A server on HERE; yields its port."""
    with socket.create_server((HERE, 0)) as listener:
        Thread(target=serve, args=(answer, listener), daemon=True).start()
        yield listener.getsockname()[1]


@contextmanager
def hostile_web(pages: Mapping[str, bytes]) -> Iterator[str]:
    """Whole HTTP responses by path, 404 elsewhere; yields the server's address."""

    def answer(request: bytes) -> Answer:
        path = request.split(b" ")[1].decode("latin-1").partition("?")[0]
        return pages.get(path, page(b"", "404 Not Found"))

    with listening(answer) as port:
        yield f"http://{HERE}:{port}"


def page(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP response; an underscore in a header's name stands for a hyphen."""
    fields = {"Content-Length": str(len(body)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def to(location: str, status: str = "302 Found") -> bytes:
    """An HTTP response that leads elsewhere."""
    return page(b"", status, Location=location)


@contextmanager
def hostile_camera(script: Mapping[str, bytes]) -> Iterator[str]:
    """RTSP replies by path and method, or by method, in which `CSEQ` becomes the request's number.

    Yields the camera's address, without a path.
    """

    def answer(request: bytes) -> Answer:
        method, address = request.split(b" ")[:2]
        number = re.search(rb"CSeq: *(\d+)", request, re.IGNORECASE)
        here = f"{urlsplit(address.decode('latin-1')).path} {method.decode()}"
        said = script.get(here) or script.get(method.decode(), RTSP_OK + b"\r\n")
        return said.replace(b"CSEQ", b"CSeq: " + number[1] if number else b"")

    with listening(answer) as port:
        yield f"rtsp://{HERE}:{port}"


class Canary:
    """Listens on every address of this machine by TCP and UDP; `hits` tells of everybody who came."""

    def __init__(self) -> None:
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        self._tcp = socket.create_server(("", 0), family=family, dualstack_ipv6=both)
        self.port: int = self._tcp.getsockname()[1]
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        if both:
            self._udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self._udp.bind(("", self.port))
        self._hits: list[str] = []

    @property
    def hits(self) -> list[str]:
        """Who came so far."""
        self._tcp.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                connection, address = self._tcp.accept()
                connection.close()
                self._hits.append(f"tcp from {address[:2]}")
        self._udp.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                data, address = self._udp.recvfrom(2048)
                self._hits.append(f"udp from {address[:2]}: {data[:40]!r}")
        return self._hits

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tcp.close()
        self._udp.close()


class WatchedFiles:
    """Notices every opening of some files, by any library: `opened` tells which."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify: int = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._inotify >= 0, os.strerror(ctypes.get_errno())
        self._paths = {
            self._libc.inotify_add_watch(self._inotify, os.fsencode(path), _IN_OPEN): path for path in paths
        }
        self._opened: list[Path] = []

    @property
    def opened(self) -> list[Path]:
        """What was opened so far."""
        with suppress(BlockingIOError):
            while True:
                events = os.read(self._inotify, 65536)
                while events:
                    watch, _, _, length = struct.unpack_from("iIII", events)
                    self._opened.append(self._paths[watch])
                    events = events[16 + length :]
        return self._opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._inotify)

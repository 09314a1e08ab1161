"""HTTP and RTSP servers that answer what they are told to, such as redirects to forbidden addresses."""

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit

HERE = "127.0.0.1"
"""The address of hostile servers, on which sources are allowed."""

INSIDE = "127.0.0.2"
"""Where no source may be: a canary listens on it."""

Answer = bytes | None
"""What a server sends, or None if it stays silent."""

RTSP_OK = b"RTSP/1.0 200 OK\r\nCSEQ\r\n"


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

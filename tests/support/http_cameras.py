"""HTTP cameras on loopback: MJPEG and snapshots, with the heads that real cameras send."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import cv2
from msgspec import Struct

from tests.support import clips

SIZE = (256, 192)
MULTIPART = "multipart/x-mixed-replace; boundary=x"
Part = Callable[[bytes], bytes]


def jpeg(number: int) -> bytes:
    """Return a JPEG picture with this marker."""
    return cv2.imencode(".jpg", clips.marker_picture(number, SIZE))[1].tobytes()


def headed(kind: str | None = "image/jpeg", length: int | None = None, *, boundary: str = "--x") -> Part:
    """Return how a camera makes a part of a picture; `length` is added to the true one."""

    def part(picture: bytes) -> bytes:
        head = f"{boundary}\r\n" if boundary else ""
        head += f"Content-Type: {kind}\r\n" if kind else ""
        head += f"Content-Length: {len(picture) + length}\r\n" if length is not None else ""
        return f"{head}\r\n".encode() + picture + b"\r\n"

    return part


PARTS = {
    "as it should be": headed(length=0),
    "no lengths": headed(),
    "image/jpg": headed("image/jpg", 0),
    "image/jpg without a length": headed("image/jpg"),
    "another type": headed("application/octet-stream", 0),
    "no type": headed(None, 0),
    "neither type nor length": headed(None),
    "no boundaries": headed(length=0, boundary=""),
    "another boundary": headed(length=0, boundary="--other"),
    "lengths too large": headed(length=7),
    "lengths too small": headed(length=-7),
    "no heads": lambda picture: picture,
}
"""How cameras send the parts of an MJPEG stream."""


class Reply(Struct):
    """What a camera answers: the pieces of the body come `interval` seconds apart."""

    headers: dict[str, str]
    pieces: Iterator[bytes]
    status: int = 200
    interval: float = 0.02


class Camera(ThreadingHTTPServer):
    """A camera whose answer to each request is that of `answer`, which gets the request's headers."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], Reply], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.answer = answer
        self.is_closed = Event()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Request(BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        reply = self.server.answer(self)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):
            for piece in reply.pieces:
                self.wfile.write(piece)
                if self.server.is_closed.wait(reply.interval):
                    return

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


@contextmanager
def http_camera(answer: Callable[[BaseHTTPRequestHandler], Reply], port: int = 0) -> Iterator[str]:
    """Run a Camera during the block, on a free port unless one is given; yield its address."""
    with Camera(answer, port) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server.url
        finally:
            server.is_closed.set()
            server.shutdown()
            thread.join()

"""A web server on loopback that drops connections, stalls or hides the length if told to."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class WebServer(ThreadingHTTPServer):
    """Files of a folder over HTTP, with Range.

    `cut_after`: close each connection after so many bytes of a body. `stall_after`: stop sending instead.
    `endless`: send no length and never close the connection. `ranges`: support Range. `headers`: send these
    too. `shift`: send ranges from so many bytes later on.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _FileRequest)
        self.folder = folder
        self.cut_after: int | None = None
        self.stall_after: int | None = None
        self.endless = False
        self.ranges = True
        self.headers: dict[str, str] = {}
        self.shift = 0
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _FileRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        file = self.server.folder / self.path.lstrip("/").partition("?")[0]
        if not file.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        data = file.read_bytes()
        asked = (
            re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.server.ranges else None
        )
        first = int(asked[1]) if asked else 0
        last = int(asked[2]) + 1 if asked and asked[2] else len(data)
        if first >= max(len(data), 1):
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return
        first += self.server.shift
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        if self.server.endless:
            self.send_header("Connection", "close")
        elif asked:
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{len(data)}")
        if not self.server.endless:
            self.send_header("Content-Length", str(last - first))
        self.end_headers()
        self._send(data[first:last])

    def _send(self, body: bytes) -> None:
        cut, stall = self.server.cut_after, self.server.stall_after
        with suppress(ConnectionError):
            self.wfile.write(body[: min(limit for limit in (cut, stall, len(body)) if limit is not None)])
            if self.server.endless or (stall is not None and len(body) > stall):
                self.connection.recv(1)  # until the client closes the connection
        if cut is not None and len(body) > cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""


@contextmanager
def web_server(folder: Path, port: int = 0) -> Iterator[WebServer]:
    """Run a WebServer during the block, on a free port unless one is given."""
    with WebServer(folder, port) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

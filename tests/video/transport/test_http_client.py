"""The HTTP client: redirects, and which server gets the password."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from app.domain.networks import Networks
from app.video.errors import VideoError
from app.video.transport.http_client import HttpClient
from app.video.transport.http_file import HttpFile


class Server(ThreadingHTTPServer):
    """Redirects from `/old` to `location`, and records the Authorization header of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.location = ""
        self.logins: list[tuple[str, str | None]] = []

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.logins.append((self.path, self.headers["Authorization"]))
        if self.path == "/old":
            self.send_response(302)
            self.send_header("Location", self.server.location)
        else:
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    with ExitStack() as stack:
        yield stack.enter_context(serving()), stack.enter_context(serving())


def read(url: str) -> None:
    HttpFile(url, "it", HttpClient(Networks("loopback"), silence_timeout=5, timeout=5), Event())


def test_the_password_is_sent_to_the_same_server_only(servers: tuple[Server, Server]) -> None:
    first, second = servers
    for location in (f"http://{first.at}/new", "/new"):
        first.location = location
        read(f"http://user:password@{first.at}/old")
    first.location = f"http://{second.at}/elsewhere"
    read(f"http://user:password@{first.at}/old")
    login = "Basic dXNlcjpwYXNzd29yZA=="
    assert first.logins == [("/old", login), ("/new", login)] * 2 + [("/old", login)]
    assert second.logins == [("/elsewhere", None)]


def test_a_login_with_control_characters_is_refused() -> None:
    with pytest.raises(VideoError, match="invalid http address"):
        read("http://user%0d%0aX:y@127.0.0.1/")


def test_a_redirect_to_an_invalid_address_is_explained(servers: tuple[Server, Server]) -> None:
    server, _ = servers
    server.location = "http://[x/"
    with pytest.raises(VideoError, match="invalid http address"):
        read(f"http://{server.at}/old")

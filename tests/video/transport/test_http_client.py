"""The HTTP client: redirects, and which server gets the password."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from app.domain.networks import Networks
from app.video.errors import VideoError
from app.video.transport.http_client import HttpClient
from app.video.transport.http_file import HttpFile

LOGIN = "us%C3%A9r:pass%20word"
USER, PASSWORD = "usér", "pass word"


class Server(ThreadingHTTPServer):
    """Redirects from `/old` to `location`, and records the log-in of each request.

    `challenges` are asked for before a right log-in. A nonce is valid for `uses` requests.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.location = ""
        self.challenges: list[str] = ['Basic realm="a"']
        self.logins: list[tuple[str, str | None]] = []
        self.uses = 10**6
        self.nonce = 0

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def admits(self, path: str, authorization: str | None) -> bool:
        """Return whether a log-in is right, by the definitions of RFC 7617 and RFC 7616."""
        if not self.challenges:
            return True
        scheme, _, rest = (authorization or "").encode("latin-1").decode().partition(" ")
        if scheme == "Basic":
            return b64decode(rest).decode() == f"{USER}:{PASSWORD}"
        given = {name: quoted or token for name, quoted, token in _FIELD.findall(rest)}
        if scheme != "Digest" or given["nonce"] != str(self.nonce) or given["uri"] != path:
            return False

        def digest(*parts: str) -> str:
            make = sha256 if given.get("algorithm") == "SHA-256" else md5
            return make(":".join(parts).encode()).hexdigest()

        middle = [given["nc"], given["cnonce"], given["qop"]] if "qop" in given else []
        secret, asked = digest(USER, given["realm"], PASSWORD), digest("GET", path)
        is_right = given["response"] == digest(secret, given["nonce"], *middle, asked)
        return is_right and ("nc" not in given or int(given["nc"], 16) <= self.uses)


_FIELD = re.compile(r'(\w+)=(?:"([^"]*)"|([^,]+))')


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        authorization = self.headers["Authorization"]
        self.server.logins.append((self.path, authorization))
        if not self.server.admits(self.path, authorization):
            self.server.nonce += 1
            self.send_response(401)
            for challenge in self.server.challenges:
                self.send_header("WWW-Authenticate", challenge.replace("NONCE", str(self.server.nonce)))
        elif self.path == "/old":
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


def new_client() -> HttpClient:
    return HttpClient(Networks("loopback"), silence_timeout=5, timeout=5)


def read(url: str, client: HttpClient | None = None) -> None:
    HttpFile(url, "it", client or new_client(), Event())


def test_the_password_is_sent_to_the_same_server_only(servers: tuple[Server, Server]) -> None:
    first, second = servers
    for location in (f"http://{first.at}/new", "/new"):
        first.location = location
        read(f"http://{LOGIN}@{first.at}/old")
    first.location = f"http://{second.at}/elsewhere"
    with pytest.raises(VideoError, match="refuses access"):
        read(f"http://{LOGIN}@{first.at}/old")
    login = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    asked = [("/old", None), ("/old", login)]
    assert first.logins == [*asked, ("/new", login)] * 2 + asked
    assert second.logins == [("/elsewhere", None)]


@pytest.mark.parametrize(
    ("challenges", "said"),
    [
        (['Basic realm="a"'], "Basic "),
        (['Digest realm="a, b", nonce="NONCE"'], "Digest "),
        (['Digest realm="a", nonce="NONCE", algorithm=MD5, qop="auth,auth-int"'], "algorithm=MD5"),
        (['Digest realm="a", nonce="NONCE", algorithm=SHA-256, qop="auth"'], "algorithm=SHA-256"),
        (
            [
                'Digest realm="a", nonce="NONCE", algorithm=MD5, qop="auth"',
                'Digest realm="a", nonce="NONCE", algorithm=SHA-256, qop="auth"',
                'Basic realm="a"',
            ],
            "algorithm=SHA-256",
        ),
        (['Basic realm="a", Digest realm="a", nonce="NONCE", qop="auth"'], "Digest "),
        (['Digest realm="a", nonce="NONCE", algorithm=SHA-512-256', 'Basic realm="a"'], "Basic "),
    ],
)
def test_the_best_way_to_log_in_is_taken(
    servers: tuple[Server, Server], challenges: list[str], said: str
) -> None:
    server, _ = servers
    server.challenges = challenges
    read(f"http://{LOGIN}@{server.at}/a%20b?c=d&e=%2F")
    assert [path for path, _ in server.logins] == ["/a%20b?c=d&e=%2F"] * 2
    assert said in str(server.logins[-1][1])


def test_a_challenge_serves_for_many_requests_until_it_expires(servers: tuple[Server, Server]) -> None:
    server, _ = servers
    server.challenges = ['Digest realm="a", nonce="NONCE", qop="auth"']
    server.uses = 3
    client = new_client()
    for _ in range(6):
        read(f"http://{LOGIN}@{server.at}/x", client)
    assert len(server.logins) == 6 + 2


def test_a_wrong_password_is_tried_once(servers: tuple[Server, Server]) -> None:
    server, _ = servers
    server.challenges = ['Digest realm="a", nonce="NONCE", qop="auth"']
    with pytest.raises(VideoError, match=r"refuses access \(401\): check the user name") as caught:
        read(f"http://user:wrong@{server.at}/x")
    assert not caught.value.retryable
    assert len(server.logins) == 2


def test_ways_to_log_in_that_are_not_supported_are_named(servers: tuple[Server, Server]) -> None:
    server, _ = servers
    server.challenges = ["NTLM", 'Digest realm="a", nonce="NONCE", algorithm=SHA-512-256']
    with pytest.raises(VideoError, match="offers only Digest SHA-512-256 and Ntlm to log in"):
        read(f"http://{LOGIN}@{server.at}/x")


def test_a_login_with_control_characters_is_refused() -> None:
    with pytest.raises(VideoError, match="invalid http address"):
        read("http://user%0d%0aX:y@127.0.0.1/")


def test_a_redirect_to_an_invalid_address_is_explained(servers: tuple[Server, Server]) -> None:
    server, _ = servers
    server.location, server.challenges = "http://[x/", []
    with pytest.raises(VideoError, match="invalid http address"):
        read(f"http://{server.at}/old")

"""Cameras that refuse, ask for a log-in, check their own address, or do not answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.video.errors import VideoError
from app.video.transport.rtsp.addresses import without_login
from tests.support import clips
from tests.support.rtsp_server import RtspServer
from tests.video.transport.rtsp.reading import fault, received

MD5 = 'Digest realm="cam", nonce="n0nce"'
SHA256 = 'Digest realm="cam", nonce="n0nce", algorithm="SHA-256", qop="auth"'


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips.marker_clip(
        tmp_path_factory.mktemp("refusing") / "clip.mp4", frames=30, gop=5, size=(256, 192), bframes=0
    )


@pytest.fixture
def server(clip: Path) -> Iterator[RtspServer]:
    with RtspServer(clip) as server:
        server.interval = 0.02
        yield server


def refusal(server: RtspServer, method: str, status: int, path: str = "/live") -> VideoError:
    server.statuses = {method: status}
    return fault(server.url(path))


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
def test_the_status_tells_and_not_the_digits_of_the_address(server: RtspServer, method: str) -> None:
    error = refusal(server, method, 404, "/Streaming/Channels/403")
    assert "does not exist (404): check the address" in str(error)
    assert not error.retryable


def test_a_camera_without_a_free_stream_is_tried_again(server: RtspServer) -> None:
    error = refusal(server, "SETUP", 453)
    assert "serves no more streams (453)" in str(error)
    assert error.retryable


def test_a_camera_without_tcp_says_so_once(server: RtspServer) -> None:
    error = refusal(server, "SETUP", 461)
    assert "offers UDP only (461)" in str(error)
    assert not error.retryable


def test_a_camera_with_a_fault_of_its_own_is_tried_again(server: RtspServer) -> None:
    error = refusal(server, "DESCRIBE", 503)
    assert "server error (503)" in str(error)
    assert error.retryable


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"])
@pytest.mark.parametrize("is_closing", [False, True], ids=["silent", "closing"])
def test_a_request_without_an_answer_is_a_timeout(server: RtspServer, method: str, is_closing: bool) -> None:
    if is_closing:
        server.closing = frozenset([method])
    else:
        server.silent = frozenset([method])
    error = fault(server.url())
    assert "did not answer in time" in str(error)
    assert error.retryable


@pytest.mark.parametrize(
    "challenges",
    [
        [SHA256],
        [MD5, SHA256],
        [SHA256, MD5],
        [MD5],
        ['Digest realm="cam", nonce="n", algorithm=MD5, qop="auth-int,auth"'],
        ['Digest realm="cam", nonce="n", qop="auth-int"'],
        ['Digest realm="cam", nonce="n", qop=""'],
        ['Basic realm="cam"'],
        [f'Basic realm="cam", {MD5}'],
        ['Digest realm="cam", nonce="n", algorithm=SHA-512-256', MD5],
    ],
    ids=[
        "sha256",
        "md5, sha256",
        "sha256, md5",
        "md5",
        "qop",
        "auth-int",
        "empty qop",
        "basic",
        "one line",
        "unknown first",
    ],
)
def test_every_usual_log_in_works(server: RtspServer, challenges: list[str]) -> None:
    server.challenges = challenges
    assert received(server.url(login="admin:s3cret@")) == 10


def test_a_password_may_be_long_and_contain_anything(server: RtspServer) -> None:
    server.challenges = [MD5]
    server.password = "p/@:#?é " + 132 * "x"
    encoded = "p%2F%40%3A%23%3F%C3%A9%20" + 132 * "x"
    assert received(server.url(login=f"admin:{encoded}@")) == 10


@pytest.mark.parametrize("challenge", [MD5, SHA256, f"{MD5}, stale=true", 'Basic realm="cam"'])
def test_a_wrong_password_is_sent_once(server: RtspServer, challenge: str) -> None:
    """A camera locks an address out that sends it more often."""
    server.challenges = [challenge]
    error = fault(server.url(login="admin:wr0ng@"))
    assert "refuses access (401): check the user name and password in the address" in str(error)
    assert "wr0ng" not in str(error)
    assert server.logins == (2 if "stale" in challenge else 1)


def test_a_log_in_of_another_kind_is_named(server: RtspServer) -> None:
    server.challenges = ['Digest realm="cam", nonce="n", algorithm=SHA-512-256', "Negotiate"]
    error = fault(server.url(login="admin:s3cret@"))
    assert "offers only Digest SHA-512-256 and Negotiate to log in" in str(error)
    assert not error.retryable
    server.challenges = ['Digest realm="cam", nonce="n", qop="made-up"']
    assert "offers only Digest MD5 with qop made-up" in str(fault(server.url(login="admin:s3cret@")))


@pytest.mark.parametrize(
    ("content_base", "control"),
    [
        (None, "track1"),
        (None, "*"),
        (None, "{address}/track1"),
        ("{address}/", "track1"),
        ("{address}/", "/track1"),
        ("{address}", "track1"),
        ("rtsp://{address}/", "track1"),
        ("", "track1"),
        ("http://other/", "track1"),
    ],
)
def test_a_camera_is_asked_by_its_own_addresses(
    server: RtspServer, content_base: str | None, control: str
) -> None:
    server.address = server.url("/live?channel=1")
    server.content_base = content_base and content_base.format(address=server.address)
    server.control = control.format(address=server.address)
    server.challenges = [MD5]
    assert received(server.url("/live?channel=1", login="admin:s3cret@")) == 10


@pytest.mark.parametrize("counted", ["OPTIONS", "GET_PARAMETER"])
def test_a_session_is_kept_alive_by_each_sign_of_life(server: RtspServer, counted: str) -> None:
    server.session_seconds, server.interval = 4, 0.04
    server.signs_of_life = frozenset([counted])
    server.challenges = [SHA256]
    assert received(server.url(login="admin:s3cret@"), count=150) == 150
    assert [method for method, _ in server.requests].count("PLAY") == 1


def test_a_camera_does_not_see_the_zone_of_its_address() -> None:
    assert without_login("rtsp://a:b@[fe80::1%25eth0]:554/live") == "rtsp://[fe80::1]:554/live"

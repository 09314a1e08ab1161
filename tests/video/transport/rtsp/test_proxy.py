"""The RTSP proxy: redirects, TLS, and replies of every kind."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

from app.domain.sampling import FixedRate
from app.video.transport.rtsp import proxy
from tests.support import cameras, clips
from tests.support.hostile_servers import RTSP_OK, hostile_camera
from tests.support.rtsp_server import RtspServer
from tests.support.tls_front import in_tls
from tests.support.waiting import until
from tests.video.transport.rtsp.reading import fault, received
from tests.video.watching import take, watched


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cameras.RtspCamera]:
    clip = clips.marker_clip(
        tmp_path_factory.mktemp("camera") / "clip.mp4", frames=60, gop=15, size=(320, 240), bframes=0
    )
    with cameras.RtspCamera(clip) as camera:
        yield camera


def redirect(location: str) -> bytes:
    return b"RTSP/1.0 302 Moved\r\nCSEQ\r\nLocation: " + location.encode() + b"\r\n\r\n"


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE"])
def test_a_redirect_to_another_camera_is_followed(camera: cameras.RtspCamera, method: str) -> None:
    with (
        hostile_camera({method: redirect(camera.url)}) as first,
        hostile_camera({method: redirect(first)}) as second,
    ):
        assert received(second) == 10


def test_a_redirect_to_a_forbidden_address_is_not_followed() -> None:
    with hostile_camera({"DESCRIBE": redirect("rtsp://user:s3cret@127.0.0.2:554/live")}) as url:
        error = fault(url)
    said = "127.0.0.2 is not an address that sources may have: add loopback to VA_SOURCE_NETWORKS"
    assert said in str(error)
    assert "s3cret" not in str(error)
    assert not error.retryable


@pytest.mark.parametrize("location", ["http://127.0.0.1/", "", "rtsp:///x", "file:///etc/passwd", "/live"])
def test_a_redirect_to_another_scheme_is_not_followed(location: str) -> None:
    with hostile_camera({"OPTIONS": redirect(location)}) as url:
        error = fault(url)
    assert "redirects to an address that is not rtsp: or rtsps:" in str(error)
    assert not error.retryable


def test_redirects_are_limited() -> None:
    script: dict[str, bytes] = {}
    with hostile_camera(script) as url:
        script["OPTIONS"] = redirect(url)
        assert "redirects more than 5 times" in str(fault(url))


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nCSEQ\r\n\r\n",
        b"OPTIONS rtsp://127.0.0.1/ RTSP/1.0\r\nCSEQ\r\n\r\n",
        RTSP_OK + b"Content-Length: 2000000000\r\n\r\n",
        RTSP_OK + b"Content-Length: -1\r\n\r\n",
        RTSP_OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nv=0\n",
        RTSP_OK + b"X: " + 20_000 * b"x",
        b"RTSP/1.0 200" + 20_000 * b" ",
    ],
)
def test_an_invalid_reply_is_an_error_at_once(reply: bytes) -> None:
    with hostile_camera({"DESCRIBE": reply}) as url:
        assert "sends invalid RTSP replies" in str(fault(url))


def test_a_hidden_redirect_is_found() -> None:
    """The proxy parses replies as FFmpeg does, however many and whatever their status."""
    hidden = redirect("rtsp://127.0.0.2:554/live")
    for said in (
        RTSP_OK + b"\r\n" + hidden,
        RTSP_OK + b"Content-Length: 0\r\n\r\n" + hidden,
        b"\r\n\n" + hidden,
        b"$\0\0\0" + hidden,
        hidden.replace(b"\r\n", b"\n"),
        hidden.replace(b"Location", b"LOCATION\t"),
        hidden.replace(b"302 Moved", b"399"),
    ):
        with hostile_camera({"OPTIONS": said}) as url:
            assert "127.0.0.2 is not an address that sources may have" in str(fault(url)), said


def test_a_camera_may_use_a_self_signed_certificate(camera: cameras.RtspCamera) -> None:
    with in_tls(camera.port) as port:
        assert received(camera.url.replace("rtsp:", "rtsps:").replace(f":{camera.port}", f":{port}")) == 10


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_no_proxy_outlives_its_camera(camera: cameras.RtspCamera) -> None:
    before = open_files()
    for _ in range(3):
        received(camera.url)
        fault(camera.url.replace("clip.mp4", "none.mp4"))
    await until(lambda: all(thread.name != "camera" for thread in threading.enumerate()))
    assert open_files() == before


def test_packets_are_forwarded_together_if_few_frames_are_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    receive = proxy._receive

    def counted(connection: socket) -> bytes | None:
        nonlocal reads
        reads += 1
        return receive(connection)

    monkeypatch.setattr(proxy, "_receive", counted)
    clip = clips.marker_clip(tmp_path / "clip.mp4", frames=60, size=(256, 192), bframes=0)
    with RtspServer(clip) as server:
        server.interval = 0.005
        with watched(server.url(), threading.Event()) as video:
            frames = video.frames(FixedRate(2))
            take(frames, 1)
            began, before = time.monotonic(), reads
            take(frames, 4)
            # FFmpeg sends reports, which are forwarded at once. Each picture alone: 400 reads in 2 seconds.
            at_most = 4 * (time.monotonic() - began) / 0.1 + 10
    assert reads - before <= at_most

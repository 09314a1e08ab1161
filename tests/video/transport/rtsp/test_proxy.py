"""The RTSP proxy: redirects, TLS, and replies of every kind."""

import gc
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.domain.networks import Networks
from app.domain.sampling import FixedRate
from app.video.transport.rtsp import proxy
from tests.support import cameras, clips
from tests.support.hostile_servers import RTSP_OK, hostile_camera
from tests.support.rtsp_server import RtspServer
from tests.support.tls_front import CERTIFICATE, in_tls
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
    gc.collect()  # what earlier tests left open must not be closed meanwhile
    before = open_files()
    for _ in range(3):
        received(camera.url)
        fault(camera.url.replace("clip.mp4", "none.mp4"))
    await until(lambda: all(thread.name != "camera" for thread in threading.enumerate()))
    await until(lambda: open_files() <= before)


def test_packets_are_forwarded_together_if_few_frames_are_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    receive = proxy._receive

    def counted(connection: socket.socket) -> bytes | None:
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


class Waits:
    """Stands for the module `select` in the proxy: counts waits for more packets, and runs `wait` instead."""

    POLLIN = select.POLLIN

    def __init__(self, wait: Callable[[], object]) -> None:
        self.count = 0
        self._wait = wait

    def poll(self) -> "CountingPoll":
        return CountingPoll(self)

    def note(self) -> None:
        self.count += 1
        self._wait()


class CountingPoll:
    def __init__(self, waits: Waits) -> None:
        self._poll = select.poll()
        self.register = self._poll.register
        self._waits = waits

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        if timeout is None:
            return self._poll.poll()
        self._waits.note()
        return []


@contextmanager
def playing(
    far: socket.socket, near: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Have a proxy connect a player to `far`, the camera; yield the player, which has asked to play."""
    monkeypatch.setattr(proxy.RtspProxy, "_connect", lambda *_: near)
    link = proxy.RtspProxy("rtsp://camera/", "camera", Networks("loopback"), 30)
    link.gather_for(FixedRate(1))
    port = int(link.url[:-1].rpartition(":")[2])
    with far, socket.create_connection(("127.0.0.1", port), 30) as player:
        player.sendall(f"PLAY {link.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        assert far.recv(1000).startswith(b"PLAY ")
        yield player


PLAYING = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"


def test_packets_wait_once_however_many_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for each part of them would limit what a camera can send."""
    packets = (b"$\0\x3f\xfc" + bytes(0x3FFC)) * (4 * proxy._CHUNK // 2**14)
    have_arrived = threading.Event()
    waits = Waits(lambda: have_arrived.wait(30))
    monkeypatch.setattr(proxy, "select", waits)
    near, far = socket.socketpair()  # of which all is there at once, unlike with TCP
    far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(packets))
    with playing(far, near, monkeypatch) as player:
        far.sendall(PLAYING + packets)
        have_arrived.set()
        far.shutdown(socket.SHUT_WR)
        with player.makefile("rb") as received_:
            assert received_.read().endswith(packets)
    assert waits.count <= 2  # one for a part that was read before all had arrived


@pytest.mark.parametrize(("seconds", "expected"), [(0.16, {0}), (0.14, {9, 10})])
def test_packets_that_come_seldom_are_forwarded_at_once(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: set[int]
) -> None:
    """No others would come while they wait."""
    waits, clock = Waits(lambda: None), count(1)
    monkeypatch.setattr(proxy, "select", waits)
    monkeypatch.setattr(proxy, "time", SimpleNamespace(monotonic=lambda: seconds * next(clock)))
    near, far = socket.socketpair()
    with playing(far, near, monkeypatch) as player, player.makefile("rb") as received_:
        far.sendall(PLAYING)
        while received_.readline().strip():  # the reply, as the proxy writes it
            pass
        for _ in range(9):
            far.sendall(b"$\0\0\1x")
            assert received_.read(5) == b"$\0\0\1x"
        assert waits.count in expected  # the last one may not have begun


def test_all_records_of_tls_that_have_arrived_are_read() -> None:
    near, far = socket.socketpair()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(CERTIFICATE)
    with far, near, proxy._tls_context().wrap_socket(near, do_handshake_on_connect=False) as client:
        thread = threading.Thread(target=client.do_handshake)
        thread.start()
        with server.wrap_socket(far, server_side=True) as camera:
            thread.join()
            camera.sendall(bytes(3 * 2**14))
            assert proxy._receive(client) == bytes(3 * 2**14)
            assert proxy._receive(client) is None
            camera.sendall(bytes(6 * 2**14))
            assert proxy._receive(client) == bytes(proxy._CHUNK)
            assert proxy._receive(client) == bytes(2 * 2**14)

"""Servers that never end the head of an answer are given up in time, and cost no memory."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest

from app.domain.networks import Networks
from app.domain.source import parse_source
from app.video.errors import VideoError
from app.video.open import open_video
from tests.torture.media.mutations import measured

MODES = ("slow status", "long status", "slow fields", "many fields", "long field", "provisional answers")
PARTS = {"slow": (b"X: a\r\n", 0.05), "many": (b"X: a\r\n" * 1000, 0.0), "long": (b"a" * 65536, 0.0)}


def _parts(mode: str, version: bytes) -> Iterator[tuple[bytes, float]]:
    """Yield without end what a server sends, and the seconds after each."""
    if mode == "provisional answers":
        yield from repeat((b"%s 100 Continue\r\nX: a\r\n\r\n" % version * 100, 0.0))
    if mode == "slow status":
        yield from repeat((version[:1], 0.05))
    yield b"%s 200 " % version if mode == "long status" else b"%s 200 OK\r\n" % version, 0.0
    if mode == "long field":
        yield b"X: ", 0.0
    yield from repeat(PARTS[mode.partition(" ")[0]])


@contextmanager
def _server(mode: str, version: bytes) -> Iterator[int]:
    """A server that answers every request like that; its port."""
    is_over = Event()

    def answer(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(5.0)
            client.recv(65536)
            for part, seconds in _parts(mode, version):
                client.sendall(part)
                if is_over.wait(seconds):
                    return

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(Thread(target=answer, args=(client,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [Thread(target=accept)]
        threads[0].start()
        yield listener.getsockname()[1]
        is_over.set()
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's way to measure memory")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("scheme", "version"), [("http", b"HTTP/1.1"), ("rtsp", b"RTSP/1.0")])
def test_a_head_that_never_ends_is_given_up(tmp_path: Path, scheme: str, version: bytes, mode: str) -> None:
    with _server(mode, version) as port, measured() as peak:
        begun = monotonic()
        source = parse_source(f"{scheme}://127.0.0.1:{port}/a.mp4")
        with (
            pytest.raises(VideoError) as told,
            open_video(
                source, tmp_path, Networks("loopback"), stop=Event(), open_timeout=1.0, read_timeout=0.5
            ),
        ):
            raise AssertionError("it was opened")
        assert monotonic() - begun < 20  # 1 s, or 0.5 s of silence, on an idle machine
        assert peak() < 30
    assert told.value.retryable or "invalid RTSP" in str(told.value)

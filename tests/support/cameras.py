"""RTSP cameras on loopback: ones that are killed and come back, freeze, or never answer.

As a program it is the camera: `python -m tests.support.cameras FOLDER PORT`.
"""

import asyncio
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import BinaryIO, Self

import av
from av.bitstream import BitStreamFilterContext

from tests.support.paths import ROOT
from tests.support.ports import free_port


class TalkingCamera:
    """An RTSP server for one client, whose picture stops after `frames` frames while its sound continues."""

    def __init__(self, clip: Path, frames: int) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._server.getsockname()[1]}/camera"
        with av.open(clip) as container:
            stream = container.streams.video[0]
            to_units = BitStreamFilterContext("h264_mp4toannexb", stream)
            coded = [bytes(out) for packet in container.demux(stream) for out in to_units.filter(packet)]
        self._frames = [[unit for unit in re.split(b"\0\0\0?\1", data) if unit] for data in coded[:frames]]

    def __enter__(self) -> Self:
        Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._server.accept()
            with client, client.makefile("rb") as lines:
                while self._answer(client, lines) != "PLAY":
                    pass
                self._play(client)

    def _answer(self, client: socket.socket, lines: BinaryIO) -> str:
        request = b"".join(iter(lines.readline, b"\r\n")).decode()
        if not request:
            raise ConnectionError
        method, body, headers = request.split()[0], "", [re.search(r"CSeq: \d+", request)[0]]  # type: ignore[index]
        match method:
            case "DESCRIBE":
                headers += ["Content-Type: application/sdp"]
                sets = [unit for unit in self._frames[0] if unit[0] & 31 in (7, 8)]
                body = (
                    "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets="
                    f"{','.join(b64encode(unit).decode() for unit in sets)}\r\na=control:picture\r\n"
                    "m=audio 0 RTP/AVP 0\r\na=control:sound\r\n"
                )
            case "SETUP":
                channel = 0 if "/picture" in request else 2
                headers += [
                    "Session: 1;timeout=60",
                    f"Transport: RTP/AVP/TCP;unicast;interleaved={channel}-{channel + 1}",
                ]
            case "PLAY":
                headers += ["Session: 1"]
            case _:
                headers += ["Public: DESCRIBE, SETUP, PLAY"]
        head = "\r\n".join(["RTSP/1.0 200 OK", *headers, f"Content-Length: {len(body)}"])
        client.sendall(f"{head}\r\n\r\n{body}".encode())
        return method

    def _play(self, client: socket.socket) -> None:
        def send(channel: int, kind: int, number: int, when: int, data: bytes) -> None:
            packet = struct.pack(">BBHII", 0x80, kind, number & 0xFFFF, when, channel) + data
            client.sendall(struct.pack(">cBH", b"$", channel, len(packet)) + packet)

        number = 0
        for tick in count():
            units = self._frames[tick] if tick < len(self._frames) else []
            for place, unit in enumerate(units, 1):
                send(0, 96 | 0x80 * (place == len(units)), number, 9000 * tick, unit)
                number += 1
            send(2, 0, tick, 800 * tick, b"\xff" * 800)
            time.sleep(0.1)


class RtspCamera:
    """An RTSP server in its own process that repeats a clip; each connection starts at its beginning.

    Its port stays the same, so that it can be killed and started again. RTP over TCP only.
    """

    def __init__(self, clip: Path) -> None:
        self.clip = clip
        self.port = free_port()
        self.url = f"rtsp://127.0.0.1:{self.port}/{clip.name}/play_count_0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it accepts connections."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.cameras", str(self.clip.parent), str(self.port)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 15
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the camera did not start")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop its process, with every connection open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


@contextmanager
def silent_camera(scheme: str = "rtsp") -> Iterator[str]:
    """Yield the URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/silent"


def _put_once(
    _: object, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[object], item: object, stop: Event
) -> bool:
    """Put a packet into the server's queue, from its thread.

    The library's own function asks again after 50 ms without an answer, and a loop that has done it, but was
    kept from saying so by a busy machine, then has the packet twice: the picture is received twice.
    """
    put = asyncio.run_coroutine_threadsafe(queue.put(item), loop)
    while not stop.is_set():
        with suppress(TimeoutError):
            put.result(0.05)
            return True
    put.cancel()
    return False


if __name__ == "__main__":
    from aio_rtsp_toolkit import server as rtsp
    from aio_rtsp_toolkit.server_streaming import RtspStreamingMixin

    RtspStreamingMixin._threadsafe_queue_put = _put_once
    with suppress(KeyboardInterrupt):
        asyncio.run(rtsp.serve(sys.argv[1], "127.0.0.1", int(sys.argv[2])))

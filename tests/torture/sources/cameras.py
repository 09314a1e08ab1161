"""Sources that work for a while, then have a fault, and know when it began; they can be repaired."""

import random
import re
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Literal

from anyio import (
    TASK_STATUS_IGNORED,
    BrokenResourceError,
    ClosedResourceError,
    EndOfStream,
    connect_tcp,
    create_task_group,
    create_tcp_listener,
    current_time,
    sleep,
    sleep_forever,
    sleep_until,
)
from anyio.abc import SocketAttribute, SocketStream, TaskStatus

from tests.torture.sources.videos import BOUNDARY, MOVING, RATE

HERE = "127.0.0.1"
_TCP_REPAIR = 19  # a socket that is closed in this state says nothing to its peer


class Fault(StrEnum):
    """What goes wrong."""

    SILENT = "accepts, then silent"
    STALL = "stalls"
    RESET = "resets"
    HALF_OPEN = "half-open"
    DRIP = "drips bytes"
    CHANGE = "changes codec or size"
    TRUNCATED = "truncated"
    ENDLESS = "endless header"
    FROZEN = "frozen picture"


Kind = Literal["rtsp", "mpegts", "mjpeg", "snapshot", "hls", "recording", "file"]
Video = Sequence[bytes]
_GONE = (BrokenResourceError, ClosedResourceError, EndOfStream, OSError)


class FaultySource:
    """One server with one fault. `url` is there once `serve` has started.

    `onset` is the Unix time when the fault was first met, None before.
    """

    def __init__(self, kind: Kind, fault: Fault, *, is_repaired: bool = False) -> None:
        self.kind = kind
        self.fault = fault
        self.is_repaired = is_repaired
        self.onset: float | None = None
        self.url = ""
        self.after = MOVING + random.randrange(RATE) if fault not in (Fault.FROZEN, Fault.CHANGE) else MOVING
        """Frames that are sent before the fault."""

    def repair(self) -> None:
        """From now on it works: connections that come, and pictures that go on."""
        self.is_repaired = True

    @property
    def is_sick(self) -> bool:
        """Whether a connection meets the fault at once."""
        return not self.is_repaired and (
            self.fault in (Fault.SILENT, Fault.ENDLESS)
            or (self.onset is not None and self.fault not in (Fault.FROZEN, Fault.CHANGE))
        )

    async def serve(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        listener = await create_tcp_listener(local_host=HERE)
        port = listener.extra_attributes[SocketAttribute.local_port]()
        self.url = self._address(port)
        async with listener:
            task_status.started()
            await listener.serve(self._handle)

    def _address(self, port: int) -> str:
        return f"http://{HERE}:{port}/live"

    async def _handle(self, stream: SocketStream) -> None:
        async with stream:
            with suppress(*_GONE):
                if self.is_sick:
                    await self.misbehave(stream, b"")
                else:
                    await self.talk(stream)

    async def talk(self, stream: SocketStream) -> None:
        """Behave, until the fault. Raises what streams raise once the client is gone."""
        raise NotImplementedError

    async def misbehave(self, stream: SocketStream, rest: bytes) -> None:
        """Show the fault instead of sending `rest`."""
        self.onset = self.onset or time.time()
        link = stream.extra_attributes[SocketAttribute.raw_socket]()
        match self.fault:
            case Fault.RESET:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case Fault.HALF_OPEN:
                with suppress(PermissionError):  # if it may not vanish, it stays silent
                    link.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
                    return
                await sleep_forever()
            case Fault.DRIP:
                for place in range(len(rest)):
                    await stream.send(rest[place : place + 1])
                    await sleep(0.2)
                await sleep_forever()
            case Fault.TRUNCATED:
                await stream.send(rest[: len(rest) // 2])
            case Fault.ENDLESS:
                await self._endless(stream)
            case _:
                await sleep_forever()

    async def _endless(self, stream: SocketStream) -> None:
        await stream.receive()
        await stream.send(b"RTSP/1.0 200 OK\r\n" if self.kind == "rtsp" else b"HTTP/1.1 200 OK\r\n")
        slow = random.random() < 0.5
        while True:
            await stream.send(b"X-Header: " if slow else b"X-Header: of many\r\n")
            await sleep(0.2 if slow else 0.02)


class LiveStream(FaultySource):
    """Pictures over HTTP without an end. `sent` counts them."""

    def __init__(
        self, kind: Kind, fault: Fault, video: Video, changed: Video | None, **options: bool
    ) -> None:
        """`changed`: the pictures after `after` have passed, of a fault that is seen in the pictures."""
        super().__init__(kind, fault, **options)
        self._video = video
        self._changed = changed
        self.sent = 0

    async def talk(self, stream: SocketStream) -> None:
        await request(stream)
        media = "multipart/x-mixed-replace; boundary=" + BOUNDARY.decode()
        media = media if self.kind == "mjpeg" else "video/mp2t"
        await stream.send(f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\n\r\n".encode())
        begun = current_time()
        number = 0
        while True:
            chunk = self._video[number % len(self._video)]
            if number >= self.after and not self.is_repaired:
                if self._changed is None:
                    await self.misbehave(stream, chunk)
                    return
                self.onset = self.onset or time.time()
                chunk = self._changed[number]
            await stream.send(chunk)
            number += 1
            self.sent += 1
            await sleep_until(begun + number / RATE)


class SnapshotCamera(FaultySource):
    """A camera that answers each request with its present picture."""

    def __init__(
        self, fault: Fault, video: Video, changed: Video | None, *, is_repaired: bool = False
    ) -> None:
        super().__init__("snapshot", fault, is_repaired=is_repaired)
        self._video = video
        self._changed = changed
        self._begun: float | None = None

    async def talk(self, stream: SocketStream) -> None:
        await request(stream)
        self._begun = self._begun or current_time()
        number = int((current_time() - self._begun) * RATE)
        picture = self._video[number % len(self._video)]
        if number >= self.after and not self.is_repaired:
            if self._changed is None:
                await self.misbehave(stream, page(picture, "image/jpeg"))
                return
            self.onset = self.onset or time.time()
            picture = self._changed[min(number, len(self._changed) - 1)]
        await stream.send(page(picture, "image/jpeg"))


class Playlist(FaultySource):
    """A live playlist of segments of one second."""

    def __init__(
        self, fault: Fault, video: Video, changed: Video | None, *, is_repaired: bool = False
    ) -> None:
        super().__init__("hls", fault, is_repaired=is_repaired)
        self._video = video
        self._changed = changed
        self._begun: float | None = None
        self._change = self._back = 2**31  # the first segments after the change, and after the repair

    def _address(self, port: int) -> str:
        return f"http://{HERE}:{port}/live.m3u8"

    def _segments(self) -> int:
        """How many are whole by now."""
        self._begun = self._begun or time.monotonic() - 3
        return int(time.monotonic() - self._begun)

    async def talk(self, stream: SocketStream) -> None:
        path = await request(stream)
        ready = self._segments()
        broken = not self.is_repaired and RATE * ready > self.after + 3 * RATE
        if self._changed is not None and broken and self._change > ready:
            self._change, self.onset = ready, time.time() + 3  # what was listed before is shown first
        elif broken and self._changed is None and path.endswith(".ts"):
            await self.misbehave(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + bytes(5000))
            return
        if self.is_repaired and self._back > ready:
            self._back = ready
        if path.endswith(".m3u8"):
            await stream.send(page(self._list(ready), "application/vnd.apple.mpegurl"))
        elif found := re.search(r"(\d+)\.ts", path):
            number = int(found[1])
            changed = self._change <= number < self._back
            video = self._changed if changed and self._changed is not None else self._video
            first = RATE * number % (len(video) - RATE)
            await stream.send(page(b"".join(video[first : first + RATE]), "video/mp2t"))

    def _list(self, ready: int) -> bytes:
        first = max(ready - 4, 0)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for number in range(first, ready):
            if number in (self._change, self._back):
                lines.append("#EXT-X-DISCONTINUITY")
            lines += ["#EXTINF:1.0,", f"{number}.ts"]
        return "\n".join([*lines, ""]).encode()


class RecordingServer(FaultySource):
    """A recording over HTTP, by ranges, `after` bytes of which are sent before the fault.

    `pace`: bytes a second, at which it is sent.
    """

    def __init__(
        self, fault: Fault, data: bytes, *, pace: float | None = None, is_repaired: bool = False
    ) -> None:
        super().__init__("recording", fault, is_repaired=is_repaired)
        self._data = data
        self._pace = pace
        self.after = random.randrange(len(data) // 4, len(data) // 2)

    def _address(self, port: int) -> str:
        return f"http://{HERE}:{port}/clip.mkv"

    async def talk(self, stream: SocketStream) -> None:
        ranges: list[int] = []
        await request(stream, ranges)
        first = ranges[0] if ranges else 0
        total = len(self._data)
        head = (
            "HTTP/1.1 206 Partial Content\r\nContent-Type: video/x-matroska\r\n"
            f"Content-Range: bytes {first}-{total - 1}/{total}\r\nContent-Length: {total - first}\r\n\r\n"
        )
        await stream.send(head.encode())
        step = total if self._pace is None else max(1, int(self._pace / 10))
        begun, place = current_time(), first
        while place < total:
            limit = total if self.is_repaired else min(total, self.after)
            if place >= limit:
                await self.misbehave(stream, self._data[place : place + 50_000])
                return
            await stream.send(self._data[place : min(place + step, limit)])
            place = min(place + step, limit)
            if self._pace is not None:
                await sleep_until(begun + (place - first) / self._pace)


class CameraProxy(FaultySource):
    """A way to a camera, which goes wrong once pictures have come over it for a while."""

    def __init__(
        self, fault: Fault, path: str, camera: Callable[[bool], tuple[str, int]], *, is_repaired: bool = False
    ) -> None:
        """`camera` returns the address of the camera to show, given whether the fault is repaired."""
        super().__init__("rtsp", fault, is_repaired=is_repaired)
        self._path = path
        self._camera = camera

    def _address(self, port: int) -> str:
        return f"rtsp://{HERE}:{port}{self._path}"

    async def talk(self, stream: SocketStream) -> None:
        async with await connect_tcp(*self._camera(self.is_repaired)) as camera, create_task_group() as group:

            async def ask() -> None:
                with suppress(*_GONE):
                    async for data in stream:
                        await camera.send(data)
                group.cancel_scope.cancel()

            group.start_soon(ask)
            due: float | None = None
            stood_still = False
            with suppress(*_GONE):
                async for data in camera:
                    if data.startswith(b"$") and due is None:
                        due = current_time() + self.after / RATE
                    if due is not None and current_time() >= due:
                        if self.fault is Fault.FROZEN and not self.is_repaired:
                            self.onset = self.onset or time.time()
                            stood_still = True
                        elif stood_still:
                            break  # it is started again
                        elif not self.is_repaired:
                            await self.misbehave(stream, data)
                            break
                    await stream.send(data)
            group.cancel_scope.cancel()


async def request(stream: SocketStream, ranges: list[int] | None = None) -> str:
    """Read a request; its path, and where the range that it asks for begins."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += await stream.receive()
    if ranges is not None and (found := re.search(rb"bytes=(\d+)-", text)):
        ranges.append(int(found[1]))
    return text.split(b" ")[1].decode()


def page(body: bytes, media: str) -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body

"""Hostile clients of recordings: uploads, ranges, conditions and hosts, sent to a running service.

What was stored is read from the disk, a small one of the test's own, and answers from the wire. The last test
takes the guards of uploads out, and sees the same verifier notice.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from msgspec import Struct

from tests.support import clips
from tests.support.missing import skip_or_fail
from tests.support.service import ServiceProcess, running
from tests.support.small_disk import small_disk
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.media import bombs

ROW = 10
UNGUARDED = "tests.torture.clients.unguarded:trusting_uploads"
AT_ONCE = 4
FLOOR = 0.03  # gigabytes that uploads must leave of a disk of 96 MiB
RACES = size(5, 100)
HALVES = size(2, 50)
NAMES = [
    "..", "../clip.mp4", "..\\clip.mp4", "/etc/clip.mp4", ".hidden.mp4", "a\\b.mp4", "a\nb.mp4", "a\x7f.mp4",
    "a\0.mp4", "x" * 256, "漢" * 86, "x" * 5000, "uploads/../../clip.mp4",
]  # fmt: skip


class Stored(Struct):
    """What hostile uploads left on the disk. `least_free` is in bytes."""

    misnamed: int = 0
    unchecked: int = 0
    replaced: int = 0
    least_free: float = float("inf")
    tried: int = 0

    def __str__(self) -> str:
        return (
            f"{self.misnamed} misnamed, {self.unchecked} unchecked, {self.replaced} replaced,"
            f" {self.least_free / 1e6:.0f} MB free at least"
        )


@contextmanager
def a_disk(folder: Path) -> Iterator[Path]:
    if os.geteuid():
        skip_or_fail("needs root, to mount a disk on which the service finds recordings")
    with small_disk(folder, 96) as disk:
        yield disk


def free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


class Attack:
    """Hostile uploads to one service, whose media folder is a disk."""

    def __init__(self, service: ServiceProcess, disk: Path, good: tuple[bytes, bytes]) -> None:
        self._service = service
        self._disk = disk
        self._good = good
        self.stored = Stored()

    async def run(self, folder: Path) -> Stored:
        """Try everything, then look at the disk."""
        await self._hostile_names()
        await self._no_videos(folder)
        await self._endless()
        await self._halves()
        await self._races()
        await until(lambda: not list(self._disk.rglob(".upload-*")), 30)
        for path in self._disk.rglob("*"):
            if path.is_file():
                self.stored.misnamed += path.parent != self._disk / "uploads" or path.name[:4] != "good"
                self.stored.unchecked += path.read_bytes() not in self._good
        return self.stored

    async def _put(self, name: str, content: bytes | AsyncIterator[bytes]) -> int:
        """Return the status of an upload, 0 if the connection was closed in the middle of it."""
        self.stored.tried += 1
        path = quote(name, safe="").replace(".", "%2E")
        try:
            answer = await self._service.http.put(f"/media/uploads/{path}", content=content, timeout=60)
        except httpx.TransportError:
            return 0
        return answer.status_code

    async def _hostile_names(self) -> None:
        for name in NAMES:
            await self._put(name, self._good[0])

    async def _no_videos(self, folder: Path) -> None:
        huge = bombs.h264(folder / "huge.h264", 16384, 16384, frames=2).read_bytes()
        samples = bombs.mp4(folder / "samples.mp4").read_bytes()
        clip = self._good[0]
        for number, content in enumerate((b"no video", b"<html>", huge, samples, clip[: len(clip) // 2])):
            await self._put(f"good{number}.no-video.mp4", content)

    async def _endless(self) -> None:
        async def zeros() -> AsyncIterator[bytes]:
            for _ in range(400):
                yield bytes(256 * 1024)
                self.stored.least_free = min(self.stored.least_free, free(self._disk))

        await self._put("good-endless.mp4", zeros())
        _, writer = await self._begin("good-large.mp4", 10_000_000_000)
        writer.close()

    async def _halves(self) -> None:
        """Open uploads that do not go on: nobody else waits for them, and nothing of them stays."""
        for _ in range(HALVES):
            writers = [(await self._begin("good-half.mp4", 1_000_000))[1] for _ in range(AT_ONCE)]
            assert (await self._service.http.get("/scenarios")).status_code == 200
            for writer in writers:
                writer.close()

    async def _races(self) -> None:
        for number in range(RACES):
            name = f"good-{number}.mp4"

            async def put(content: bytes, name: str = name) -> int:
                status = 503

                async def is_taken() -> bool:
                    nonlocal status
                    status = await self._put(name, content)
                    return status != 503

                await until(is_taken, 60, poll=0.1)  # uploads that were given up take slots for a moment
                return status

            statuses = await asyncio.gather(*map(put, self._good))
            self.stored.replaced += sorted(statuses) != [201, 409]

    async def _begin(self, name: str, length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.stored.tried += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self._service.port)
        head = f"PUT /media/uploads/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        writer.write(head.encode() + self._good[0][:1000])
        await writer.drain()
        return reader, writer


@asynccontextmanager
async def attacked(folder: Path, app: str) -> AsyncIterator[tuple[ServiceProcess, Path, Stored]]:
    """Yield a service that hostile uploads were sent to, its media folder, and what they left there."""
    good = [
        clips.marker_clip(folder / f"{frames}.mp4", frames=frames, size=(320, 240)).read_bytes()
        for frames in (5, 6)
    ]
    with a_disk(folder / "disk") as disk:
        async with running(folder, app=app, media_root=disk, upload_min_free_gb=FLOOR) as service:
            stored = await Attack(service, disk, (good[0], good[1])).run(folder)
            yield service, disk, stored
            assert await service.is_ready()


async def answer_of(service: ServiceProcess, request: bytes) -> tuple[int, bytes]:
    """Return status and body of the answer to a request, byte for byte; 0 if it is cut off."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(request)
    answer = b""
    with suppress(ConnectionError):
        answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, body


NUMBERS = ("", "0", "-1", "9" * 18, "9" * 19, "9" * 4000, "0x10", "1e3", "\xb2", " ", "+1", "1,2")
RANGES = [
    *(
        f"{unit}={first}-{last}"
        for unit in ("bytes", "BYTES", "lines")
        for first in NUMBERS
        for last in NUMBERS
    ),
    *(f"bytes={'0-0,' * count}1-2" for count in (1, 100, 10_000)),
    *("bytes", "bytes=", "bytes=-", "=0-1", "0-1", "\0", "bytes=0-1\0", "bytes=" + "0" * 30_000 + "-1"),
]
CONDITIONS = [
    f"{name}: {value}"
    for name in ("If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since")
    for value in (
        "", "*", '"', '""', 'W/"', '"' * 30_000, "W/" * 20_000, "-1", "9" * 4000, "\xff\xfe", "\0",
        "yesterday", "Sat, 99 Foo 99999 99:99:99 GMT", "Fri, 31 Dec 9999 23:59:59 -9999",
        "Thu, 01 Jan 1970 00:00:00 GMT",
    )
]  # fmt: skip
HOSTS = (
    "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:80", "[::1", "::1",
    "[]", "127.0.0.1@evil.example", "localhost@evil.example", "evil.example#localhost", "a" * 30_000,
    "\xff", "", "0", "evil.example/localhost", "2130706433.evil.example",
)  # fmt: skip


def refusals(request: str) -> set[int]:
    """Return how a request may be answered without the file; only a long head may be cut off."""
    return {304, 400, 416, 431} | ({0} if len(request) > 20_000 else set())


async def ask_for_parts(service: ServiceProcess, disk: Path) -> tuple[int, int]:
    """Ask for a recording in hostile ways. Returns how many requests were sent, and how many went wrong.

    Wrong are answers other than the file, a part of it that is one range, and refusals.
    """
    content = clips.marker_clip(disk / "clip.mp4", frames=5, size=(320, 240)).read_bytes()
    scenario = await service.create("clip.mp4", {"type": "mock"})
    await service.ends(scenario)
    path = f"/scenarios/{scenario}/video"
    wrong = tried = 0
    headers = [f"Range: {each}" for each in RANGES] + CONDITIONS
    headers += [f"Range: bytes=0-9\r\n{each}" for each in CONDITIONS]
    for header in headers:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\r\n"
        status, body = await answer_of(service, request.encode("latin-1"))
        tried += 1
        is_file = status == 200 and body == content
        is_part = status == 206 and 0 < len(body) <= len(content) and body in content
        wrong += not (is_file or is_part or status in refusals(request))
    for asked in (path, "/media", "/media?folder=uploads"):
        for host in HOSTS:
            request = f"GET {asked} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            status, _ = await answer_of(service, request.encode("latin-1"))
            tried += 1
            wrong += status not in {*refusals(request), 403}
    return tried, wrong


@pytest.mark.timeout(size(300, 1800))
async def test_hostile_uploads_and_ranges_get_nothing(tmp_path: Path, battery: Battery) -> None:
    async with attacked(tmp_path, "app.main:app") as (service, disk, stored):
        tried, wrong = await ask_for_parts(service, disk)
    assert (stored.misnamed, stored.unchecked, stored.replaced) == (0, 0, 0), stored
    assert stored.least_free > FLOOR * 1e9 - 2**21  # a piece, and what the disk needs for it
    what = "uploads: hostile names, no videos, bombs, halves, endless ones, two of one name at once"
    assert wrong == 0
    battery.passed(
        ROW, "hostile ranges, conditions and hosts", f"{tried} requests", f"{wrong} answered wrong"
    )
    battery.passed(ROW, what, f"{stored.tried} uploads to a disk of 96 MiB", str(stored))


@pytest.mark.timeout(size(300, 1800))
async def test_trusted_uploads_would_be_noticed(tmp_path: Path, battery: Battery) -> None:
    async with attacked(tmp_path, UNGUARDED) as (_, _, stored):
        pass
    assert stored.misnamed
    assert stored.unchecked
    assert stored.replaced
    assert stored.least_free < FLOOR * 1e9 - 2**21
    battery.unguarded(ROW, "checks of uploads", f"{stored.tried} uploads", str(stored))

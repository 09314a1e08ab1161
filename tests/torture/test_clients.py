"""Hostile clients, against a running service: generated requests, bombs, and hundreds that are slow.

Some 900 generated requests, 20,000 at full length.
"""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import perf_counter

import httpx
import psutil
import pytest
from anyio import to_thread

from tests.service.process import ServiceProcess, running
from tests.torture.battery import LONG, size

EXAMPLES, LEAST = (1200, 20_000) if LONG else (5, 700)
SLOW = size(200, 500)
JSON = {"content-type": "application/json"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    async with running(tmp_path) as started:
        yield started
        assert await started.is_ready()
        log = started.log.read_text()
        assert "Traceback" not in log, log[-3000:]


def memory(service: ServiceProcess) -> float:
    """Of the service's process, in MiB."""
    return float(psutil.Process(service.process.pid).memory_info().rss) / 2**20


@pytest.mark.timeout(size(120, 3600))
async def test_generated_requests_get_what_the_document_says(service: ServiceProcess, tmp_path: Path) -> None:
    """No answer of 500 or more but those documented, none that its schema does not describe, and nothing
    accepted that the document forbids.

    That every request which the document allows is accepted is more than it can say: a cursor has to be one
    that was handed out, and `always` needs a live source. Event streams do not end, and are left out.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.http.base_url}/docs/openapi.json"]
    command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "--continue-on-failure"]
    command += ["--exclude-path", "/events", "--max-examples", str(EXAMPLES), "--request-timeout", "20"]
    command += [
        "--no-color",
    ]
    command += ["--generation-database", "none"] if LONG else ["--generation-deterministic"]
    done = await to_thread.run_sync(
        lambda: subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated, done.stdout[-3000:]
    assert int(generated[1]) > LEAST
    print(f"{generated[1]} generated requests")


DEEP = 100_000
BODIES = [
    b"[" * DEEP,
    b'{"source":' + b"[" * DEEP,
    b'{"a":' * DEEP,
    b'{"source": "a.mp4", "detector": ' + b'{"type": ' * DEEP,
    b'{"source": "a.mp4", "detector": {"type": "marker", "codes":' + b"[" * DEEP + b"]" * DEEP + b"}}",
    b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b', "source": "a.mp4", "detector": {"type": "mock"}}',
    b'{"source": "a.mp4", "detector": {"x": ' + b'{"a": ' * DEEP + b"1" + b"}" * DEEP + b"}}",
    b'{"source": "a.mp4", "detector": {"type": "mock", "seed": ' + b"9" * 900_000 + b"}}",
    b'{"source": "a.mp4", "detector": {"type": "mock", "seed": 1e400}}',
    b'{"source": "a.mp4", "detector": {"type": "mock", "seed": NaN}}',
    b'{"source": "a.mp4", "sampling": {"mode": "fps", "fps": -0.0}, "detector": {"type": "mock"}}',
    b'{"source": "\\ud800", "detector": {"type": "mock"}}',
    b'{"source": "\xff", "detector": {"type": "mock"}}',
    b'{"source": "a\\u0000.mp4", "detector": {"type": "mock"}}',
    b'{"source": "' + b"a" * 900_000 + b'", "detector": {"type": "mock"}}',
    b"\xef\xbb\xbf{}",
    b"\0" * 1000,
    b"",
]


async def test_bodies_that_are_made_to_hurt_are_refused(service: ServiceProcess) -> None:
    for body in BODIES:
        answer = await service.http.post("/scenarios", content=body, headers=JSON)
        assert answer.status_code in (400, 422), (body[:60], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 2000


async def test_bodies_of_64_mib_are_refused_and_not_kept(service: ServiceProcess) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(2**20)

    before = memory(service)
    for _ in range(3):
        for content in (bytes(2**26), endless()):
            try:
                answer = await service.http.post("/scenarios", content=content, headers=JSON)
            except httpx.WriteError:
                continue  # refused in the middle of it
            assert answer.status_code == 413
    assert memory(service) - before < 40


@pytest.mark.parametrize("head", ["one", "many", "path"])
async def test_heads_without_end_are_cut_off(service: ServiceProcess, head: str) -> None:
    lines = b"".join(b"X%d: a\r\n" % number for number in range(2000))
    first, more = {
        "one": (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: ", b"a" * 65536),
        "many": (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n", lines),
        "path": (b"GET /", b"a" * 65536),
    }[head]
    before = memory(service)
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(first)
    sent = 0
    with suppress(ConnectionError):
        while sent < 50 * 2**20:
            writer.write(more)
            await writer.drain()
            sent += len(more)
    assert sent < 20 * 2**20
    assert memory(service) - before < 20
    assert (await service.http.get("/health/live")).status_code == 200
    writer.close()


async def test_hundreds_of_slow_clients_hold_up_nobody(service: ServiceProcess) -> None:
    head = b"POST /scenarios HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with AsyncExitStack() as stack:
        writers = []
        for number in range(SLOW):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            stack.callback(writer.close)
            # Some drip their heads, others their bodies.
            writer.write(head + (b"Content-Length: 100\r\n\r\n{" if number % 4 == 0 else b""))
            writers.append(writer)
        waits = []
        for number in range(100):
            for writer in writers[number % 10 :: 10]:
                writer.write(b" " if writers.index(writer) % 4 == 0 else b"X-%d: a\r\n" % number)
            begun = perf_counter()
            assert (await service.http.get("/scenarios")).status_code == 200
            waits.append(perf_counter() - begun)
    assert sorted(waits)[97] < 1
    assert (await service.http.get("/health/ready")).status_code == 200


async def test_each_process_may_open_as_many_files_as_the_system_allows(service: ServiceProcess) -> None:
    """Every slow client takes one."""
    soft, hard = psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft >= min(hard, 65_536)

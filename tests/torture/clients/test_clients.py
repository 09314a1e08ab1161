"""Hostile clients, against a running service: generated requests, bombs, and hundreds that are slow.

Some 700 generated requests, 20,000 at full length. What was answered is read from what went over the wire,
memory from the kernel. The last tests take guards out, and see the same verifiers notice.
"""

import asyncio
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

from tests.support.service import ServiceProcess, running
from tests.torture.battery import LONG, Battery, size
from tests.torture.clients.requests import Verdict, judge

ROW = 10
EXAMPLES, LEAST = (3000, 20_000) if LONG else (4, 700)
SEEDS = size(0, 10)
PHASES = ("examples", "coverage", "fuzzing", "stateful")
SLOW = size(200, 500)
UNGUARDED = "tests.torture.clients.unguarded:trusting"
JSON = {"content-type": "application/json"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    # One slot, so that generated scenarios do not take both cores from the API.
    async with running(tmp_path, runner_slots=1) as started:
        yield started
        assert await started.is_ready()
        log = started.log.read_text()
        assert "request failed" not in log, log[-3000:]


def memory(service: ServiceProcess) -> float:
    """Of the service's process, in MiB."""
    return float(psutil.Process(service.process.pid).memory_info().rss) / 2**20


async def generate(service: ServiceProcess, folder: Path, *options: str) -> tuple[Verdict, str]:
    """Send what schemathesis makes of the document; the verdict on it, and what schemathesis itself said."""
    document = await service.http.get("/docs/openapi.json")
    report = folder / "report.ndjson"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.http.base_url}/docs/openapi.json"]
    command += ["--checks", "all", "--continue-on-failure", "--request-timeout", "20", "--no-color", *options]
    command += ["--report", "ndjson", "--report-ndjson-path", str(report)]
    # A cursor must be one that the API returned, and `always` needs a live source: no document can say so.
    command += ["--exclude-checks", "positive_data_acceptance"]
    command += ["--exclude-path", "/stream"]  # a stream does not end; the next test asks for it
    command += ["--generation-database", "none"] if LONG else ["--generation-deterministic"]
    done = await to_thread.run_sync(
        lambda: subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    )
    said = f"{done.stdout[-6000:]}{done.stderr[-2000:]}" if done.returncode else ""
    return await to_thread.run_sync(judge, report, document.json()), said


@pytest.mark.timeout(size(300, 7200))
async def test_generated_requests_get_what_the_document_says(
    service: ServiceProcess, tmp_path: Path, battery: Battery
) -> None:
    """No answer ≥ 500, none that the document does not describe, and nothing accepted that it forbids."""
    verdict, said = await generate(service, tmp_path, "--max-examples", str(EXAMPLES))
    for seed in range(SEEDS):  # how far a walk along the links goes is a matter of chance
        walk = ("--phases", "stateful", "--seed", str(seed), "--max-examples", "100")
        more, more_said = await generate(service, tmp_path, *walk)
        verdict.add(more)
        said += more_said
    wrong = [*verdict.faults, *verdict.undescribed, *verdict.accepted]
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert not said, said
    assert set(verdict.by_phase) == set(PHASES)
    assert verdict.tried > LEAST
    parts = ", ".join(f"{verdict.by_phase[phase]:,} {phase}" for phase in PHASES)
    battery.passed(ROW, f"generated requests ({parts})", f"{verdict.tried:,} requests", verdict.lost())


@pytest.mark.timeout(size(300, 300))
async def test_without_strict_decoding_generated_requests_are_let_in(
    tmp_path: Path, battery: Battery
) -> None:
    async with running(tmp_path, app=UNGUARDED) as service:
        some = ("--include-operation-id", "createScenario", "--include-operation-id", "listScenarios")
        verdict, said = await generate(service, tmp_path, *some, "--phases", "coverage")
    assert verdict.faults
    assert verdict.accepted
    assert said
    battery.unguarded(ROW, "strict decoding", f"{verdict.tried} requests", verdict.lost())


async def test_event_streams_take_no_position_that_was_never_given_out(service: ServiceProcess) -> None:
    for given in ("", "x", "-1", "1-", "1-x", "99999999999999999999-1", "1-9999999999999999999", "1" * 5000):
        async with service.http.stream("GET", "/stream", headers={"last-event-id": given}) as answer:
            assert answer.status_code == 400, given
            assert answer.headers["content-type"] == "application/problem+json"


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
    b'{"' + b"a" * 900_000 + b'": 1, "source": "a.mp4", "detector": {"type": "mock"}}',
    b'{"source": "a.mp4", "detector": {"type": "' + b"a" * 900_000 + b'"}}',
]


async def test_bodies_that_are_made_to_hurt_are_refused(service: ServiceProcess, battery: Battery) -> None:
    for body in BODIES:
        answer = await service.http.post("/scenarios", content=body, headers=JSON)
        assert answer.status_code in (400, 422), (body[:60], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 2000
    battery.passed(ROW, "bodies nested 100,000 deep, or absurd", f"{len(BODIES)} bodies", "0 accepted")


async def send_64_mib(service: ServiceProcess) -> tuple[float, int]:
    """Six times, with its length told and without: by how many MiB memory grew, and how many were taken."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 2**20

    before = memory(service)
    most, taken = before, 0
    for _ in range(3):
        for content in (b" " * 2**26, endless()):
            try:
                answer = await service.http.post("/scenarios", content=content, headers=JSON, timeout=30)
            except httpx.WriteError:
                pass  # refused in the middle of it
            else:
                taken += answer.status_code != 413
            most = max(most, memory(service))
    return most - before, taken


async def test_bodies_of_64_mib_are_refused_and_not_kept(service: ServiceProcess, battery: Battery) -> None:
    grown, taken = await send_64_mib(service)
    assert taken == 0
    assert grown < 40
    battery.passed(ROW, "bodies of 64 MiB", "6 bodies", f"0 taken, memory grew by {grown:.0f} MiB")


async def test_without_a_limit_bodies_of_64_mib_are_kept(tmp_path: Path, battery: Battery) -> None:
    async with running(tmp_path, app=UNGUARDED) as service:
        grown, taken = await send_64_mib(service)
    assert taken == 6
    assert grown > 50
    battery.unguarded(ROW, "the limit on bodies", "6 bodies", f"6 taken, memory grew by {grown:.0f} MiB")


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


async def test_hundreds_of_slow_clients_hold_up_nobody(service: ServiceProcess, battery: Battery) -> None:
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
    slowest = sorted(waits)[97]
    assert slowest < 1
    assert (await service.http.get("/health/ready")).status_code == 200
    battery.passed(ROW, "slow connections", f"{SLOW} at once", f"others wait {slowest * 1e3:.0f} ms at most")


async def test_each_process_may_open_as_many_files_as_the_system_allows(service: ServiceProcess) -> None:
    """Every slow client takes one."""
    soft, hard = psutil.Process(service.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    assert soft >= min(hard, 65_536)

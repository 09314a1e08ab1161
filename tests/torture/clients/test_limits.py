"""Clients that would use the service up: web pages, floods, and answers that nobody reads.

Statuses are those that come over the wire. Each guard is also taken out, to see that the same verifier
notices.
"""

import asyncio
import socket
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, suppress
from itertools import product
from pathlib import Path

import httpx
import psutil
import pytest

from app.waiting_clients import MAX_WAITING
from tests.support.service import ServiceProcess, running
from tests.torture.battery import Battery

ROW = 10
KEY = "a-long-secret-key"
BEARER = {"Authorization": f"Bearer {KEY}"}
UNGUARDED = "tests.torture.clients.unguarded:"
GUARDED = "app.main:app"


async def flood(folder: Path, app: str) -> tuple[Counter[int], Counter[int]]:
    """Ask quickly from one address, without a key and with wrong ones.

    Returns the statuses of these requests, and those of the probes between them.
    """
    async with running(folder, app=app, api_keys=KEY) as service:
        others: Counter[int] = Counter()
        probes: Counter[int] = Counter()
        for number in range(300):
            wrong = {"Authorization": "Bearer wrong"} if number % 2 else {}
            path = ("/docs", "/scenarios", "/openapi.json")[number % 3]
            others[(await service.http.get(path, headers=wrong)).status_code] += 1
            for probe in ("/health/live", "/health/ready"):
                probes[(await service.http.get(probe)).status_code] += 1
        return others, probes


@pytest.mark.timeout(180)
async def test_a_flood_starves_no_health_probe(tmp_path: Path, battery: Battery) -> None:
    others, probes = await flood(tmp_path, GUARDED)
    assert others[429]
    assert probes == {200: 600}
    tried = f"{others.total()} requests, {others[429]} of them refused"
    battery.passed(
        ROW, "a flood without a key, through the proxy of the probes", tried, "0 of 600 probes refused"
    )


@pytest.mark.timeout(180)
async def test_limited_probes_would_be_noticed(tmp_path: Path, battery: Battery) -> None:
    others, probes = await flood(tmp_path, UNGUARDED + "limited_probes")
    assert probes[429]
    battery.unguarded(
        ROW, "free probes", f"{others.total()} requests", f"{probes[429]} of 600 probes refused"
    )


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PATHS = (
    "/scenarios",
    "/scenarios/00000000-0000-0000-0000-000000000000/stop",
    "/detectors",
    "/docs",
    "/nothing",
)
ORIGINS = (
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
)  # fmt: skip
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
STREAMS = 100


async def visit(folder: Path, app: str) -> tuple[int, int, bool]:
    """Do what a page of another site can do to a service without keys.

    Returns how many of its requests were admitted, how many streams it holds, and whether the user's own
    stream still opens.
    """
    async with running(folder, app=app) as service, AsyncExitStack() as stack:
        admitted = 0
        for method, path, headers in product(METHODS, PATHS, ORIGINS):
            answer = await service.http.request(method, path, headers=headers)
            admitted += answer.status_code != 403
        for method in METHODS[1:]:  # a link is followed by GET
            answer = await service.http.request(method, "/scenarios", headers=LINK)
            admitted += answer.status_code != 403
        assert (await service.http.get("/scenarios", headers=LINK)).status_code == 200
        browser = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=service.http.base_url, limits=httpx.Limits(max_connections=None), timeout=20
            )
        )
        held = 0
        for number in range(STREAMS):
            headers = {"Host": f"h{number}.localhost", **ORIGINS[number % len(ORIGINS)]}
            stream = await stack.enter_async_context(browser.stream("GET", "/stream", headers=headers))
            held += stream.status_code == 200
        async with service.http.stream("GET", "/stream") as own:
            return admitted, held, own.status_code == 200


@pytest.mark.timeout(180)
async def test_a_page_of_another_site_gets_nowhere(tmp_path: Path, battery: Battery) -> None:
    assert await visit(tmp_path, GUARDED) == (0, 0, True)
    tried = f"{len(METHODS) * len(PATHS) * len(ORIGINS) + len(METHODS) - 1} requests, {STREAMS} streams"
    battery.passed(ROW, "a web page of another site, without keys", tried, "0 admitted, 0 streams held")


@pytest.mark.timeout(180)
async def test_a_page_that_is_let_in_would_be_noticed(tmp_path: Path, battery: Battery) -> None:
    admitted, held, is_served = await visit(tmp_path, UNGUARDED + "any_origin")
    assert admitted
    assert held == STREAMS
    assert not is_served
    seen = f"{admitted} admitted, {held} streams held, the user's own refused"
    battery.unguarded(ROW, "checks of the origin", f"{STREAMS} streams", seen)


READERS = 80  # a key may have 50 requests open
LABELS = [f"{number:0200}" for number in range(295)]  # of a scenario of 60 KB
LARGE = {"type": "onnx", "model": "none.onnx", "labels": LABELS}


async def fill(service: ServiceProcess, count: int) -> None:
    """Create scenarios that are as large as may be, and fail at once."""
    body = {"source": "none.mp4", "detector": LARGE, "restart": {"policy": "never"}}
    for _ in range(count):
        answer = await service.http.post("/scenarios", json=body, headers=BEARER)
        assert answer.status_code in (201, 202), answer.text


async def leave_unread(folder: Path, app: str) -> int:
    """Ask for large pages and do not read them. Returns how many of 20 other requests are then refused."""
    async with running(folder, app=app, api_keys=KEY, rate_limit=10_000) as service:
        await fill(service, 70)
        page = await service.http.get("/scenarios", params={"limit": 1000}, headers=BEARER)
        assert len(page.content) > 3e6
        request = f"GET /scenarios?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n"
        with ExitStack() as stack:
            for _ in range(READERS):
                connection = stack.enter_context(socket.socket())
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.connect(("127.0.0.1", service.port))
                connection.sendall(request.encode())
                await asyncio.sleep(0.08)  # at once, they would wait for a connection to the database
            answers = [await service.http.get("/detectors", headers=BEARER) for _ in range(20)]
    return sum(answer.status_code == 429 for answer in answers)


@pytest.mark.timeout(300)
async def test_answers_that_nobody_reads_are_counted(tmp_path: Path, battery: Battery) -> None:
    refused = await leave_unread(tmp_path, GUARDED)
    assert refused == 20
    what = "answers of 4 MB that nobody reads"
    battery.passed(ROW, what, f"{READERS} with one key", "50 open, all others refused")


@pytest.mark.timeout(300)
async def test_answers_that_pile_up_would_be_noticed(tmp_path: Path, battery: Battery) -> None:
    refused = await leave_unread(tmp_path, UNGUARDED + "whole_answers")
    assert refused == 0
    battery.unguarded(ROW, "answers in slices", f"{READERS} with one key", f"{READERS} open, none refused")


async def ask_for_much(folder: Path, app: str) -> tuple[int, int]:
    """Create a scenario with a megabyte of labels, and ask for 9 MB of scenarios.

    Returns the status of the first, and the bytes of the page.
    """
    async with running(folder, app=app, api_keys=KEY, rate_limit=10_000) as service:
        labels = [f"{number:0190}" for number in range(4900)]
        body = {"source": "none.mp4", "detector": {**LARGE, "labels": labels}, "restart": {"policy": "never"}}
        answer = await service.http.post("/scenarios", json=body, headers=BEARER)
        await fill(service, 150)
        page = await service.http.get("/scenarios", params={"limit": 1000}, headers=BEARER, timeout=30)
        return answer.status_code, len(page.content)


@pytest.mark.timeout(300)
async def test_scenarios_and_pages_are_bounded_in_bytes(tmp_path: Path, battery: Battery) -> None:
    status, size = await ask_for_much(tmp_path, GUARDED)
    assert status == 422
    assert size < 5e6
    battery.passed(
        ROW, "a scenario of 1 MB, a page of 9 MB", "2 requests", f"0 accepted, {size / 1e6:.1f} MB"
    )


@pytest.mark.timeout(300)
async def test_pages_without_a_bound_would_be_noticed(tmp_path: Path, battery: Battery) -> None:
    status, size = await ask_for_much(tmp_path, UNGUARDED + "endless_pages")
    assert status in (201, 202)
    assert size > 9e6
    battery.unguarded(ROW, "bounds in bytes", "2 requests", f"1 accepted, {size / 1e6:.1f} MB")


HEADS = 1200  # which never end, of 16 KB each


async def hold_heads(folder: Path, app: str) -> tuple[int, int]:
    """Begin very many requests, and end none. Returns how many connections are open then, and at last.

    The last is a moment at which the server must have given all of them up.
    """
    async with running(folder, app=app, api_keys=KEY) as service, AsyncExitStack() as stack:
        process = psutil.Process(service.process.pid)

        def connected() -> int:
            return sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections())

        readers = []
        for _ in range(HEADS):
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            stack.callback(writer.close)
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 16_000)
            readers.append(reader)
        assert (await service.http.get("/health/live")).status_code == 200
        held = connected()
        with suppress(TimeoutError, ConnectionError):
            await asyncio.wait_for(readers[-1].read(), 20)
        assert (await service.http.get("/health/live")).status_code == 200
        return held, connected()


@pytest.mark.timeout(120)
async def test_heads_that_never_end_are_given_up(tmp_path: Path, battery: Battery) -> None:
    held, left = await hold_heads(tmp_path, UNGUARDED + "hasty")
    assert held <= MAX_WAITING + 5
    assert left < 50
    tried = f"{HEADS:,} connections"
    battery.passed(ROW, "heads that never end", tried, f"{MAX_WAITING:,} open at most, and all given up")


@pytest.mark.timeout(120)
async def test_heads_that_are_waited_for_would_be_noticed(tmp_path: Path, battery: Battery) -> None:
    held, left = await hold_heads(tmp_path, UNGUARDED + "patient")
    some = HEADS - 50  # the kernel's list, which changes while it is read, may leave some out
    assert held >= some > MAX_WAITING
    assert left >= some
    battery.unguarded(
        ROW, "a deadline for heads", f"{HEADS:,} connections", f"{left:,} open after 20 seconds"
    )

"""Answers that their clients do not read, and the bounds of what one answer holds."""

import asyncio
import logging
import socket
from contextlib import ExitStack, suppress
from typing import cast

import httpx
import psutil
import pytest
from litestar import Litestar
from litestar.types import Receive, Scope, Send

from app.api import ApiOptions
from app.api.http import sending
from app.api.http.middleware import RequestMiddleware
from app.api.http.responses import JsonResponse
from app.domain.detector_config import Onnx
from app.domain.spec import ScenarioSpec
from app.postgres import Database
from tests.api.conftest import listening
from tests.support.rows import add_event, add_scenario
from tests.support.waiting import until

KEY = "a-long-secret-key"
BODY = b" " * 12_000_000
SMALL = b"{}"
OPEN = 50  # requests that a key may have open


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await JsonResponse(BODY if scope["path"] == "/large" else SMALL)(scope, receive, send)


@pytest.fixture
def application() -> RequestMiddleware:
    return RequestMiddleware(cast("Litestar", answer), ApiOptions(version="1", api_keys=(KEY,)))


def ask_and_never_read(url: str) -> socket.socket:
    """Ask for the large answer over a connection whose buffer is small."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    connection.sendall(f"GET /large HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
    return connection


async def status(url: str) -> int:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as http:
        return (await http.get(f"{url}/small")).status_code


async def test_unread_answers_count_as_open_and_take_little_memory(application: RequestMiddleware) -> None:
    before = psutil.Process().memory_info().rss
    async with listening(application) as url:
        with ExitStack() as stack:
            for _ in range(OPEN):
                stack.enter_context(ask_and_never_read(url))
            await until(lambda: _has_status(url, 429))
            assert psutil.Process().memory_info().rss - before < 300e6  # 50 times 12 MB are 600 MB
        await until(lambda: _has_status(url, 200))


async def _has_status(url: str, wanted: int) -> bool:
    return await status(url) == wanted


async def test_a_client_that_reads_nothing_loses_its_connection(
    application: RequestMiddleware, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed = asyncio.Event()
    close_connection = sending.close_connection

    async def close(send: Send) -> None:
        await close_connection(send)
        closed.set()

    monkeypatch.setattr(sending, "SEND_TIMEOUT", 0.5)
    monkeypatch.setattr(sending, "close_connection", close)
    async with listening(application) as url:
        with ask_and_never_read(url) as connection:
            await closed.wait()
            connection.settimeout(60)
            received = 0
            with suppress(ConnectionResetError):
                while part := await asyncio.to_thread(connection.recv, 2**20):
                    received += len(part)
            assert received < len(BODY)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_body_of_many_slices_arrives_whole(application: RequestMiddleware) -> None:
    async with listening(application) as url, httpx.AsyncClient() as http:
        for _ in range(2):  # the second over the same connection
            response = await http.get(f"{url}/large", headers={"Authorization": f"Bearer {KEY}"})
            assert response.content == BODY
            assert response.headers["content-length"] == str(len(BODY))


async def test_a_scenario_has_at_most_64_kilobytes(http: httpx.AsyncClient) -> None:
    labels = [f"{number:0200}" for number in range(300)]
    body = {"source": "clip.mp4", "detector": {"type": "onnx", "model": "m.onnx", "labels": labels}}
    assert (await http.post("/scenarios", json=body)).status_code == 201
    labels += labels[:20]
    refused = await http.post("/scenarios", json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, "detector")
    assert refused.json()["detail"].endswith("at most 64,000 are allowed. Shorten `detector`.")


async def test_a_page_of_scenarios_ends_after_four_megabytes(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    large = ScenarioSpec("clip.mp4", Onnx("m.onnx", labels=tuple("x" * 200 for _ in range(4500))))
    ids = [str(await add_scenario(scenarios, spec=large, age=number)) for number in range(12)]
    found: list[str] = []
    sizes: list[int] = []
    query: dict[str, str | int] = {"limit": 1000}
    while True:
        response = await http.get("/scenarios", params=query)
        sizes.append(len(response.content))
        page = response.json()
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == ids
    assert len(sizes) == 3
    assert max(sizes) < 6e6


async def test_errors_and_media_count_as_a_part_of_a_page_of_scenarios(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    for number in range(3):
        error = "x" * 3_000_000
        await add_scenario(scenarios, age=number, state="inactive", outcome="failed", error=error)
    page = (await http.get("/scenarios", params={"limit": 1000})).json()
    assert len(page["items"]) == 2
    assert page["next_cursor"] is not None


async def test_a_page_of_history_ends_after_four_megabytes(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    for _ in range(7):
        await add_event(scenarios, scenario_id, reason="x" * 1_500_000)
    found: list[int] = []
    query: dict[str, str | int] = {"limit": 4}
    while True:
        page = (await http.get(f"/scenarios/{scenario_id}/history", params=query)).json()
        found.append(len(page["items"]))
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert found == [3, 3, 1]

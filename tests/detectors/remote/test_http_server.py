"""A name with several addresses stands for several servers, which share the requests."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from app.detectors.oip.framing import Body
from app.detectors.remote import http_server
from app.detectors.remote.faults import AwayError
from app.detectors.remote.http_server import HttpServer
from app.detectors.remote.model_url import ServerAddress
from tests.support.ports import free_port

HOSTS = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


@asynccontextmanager
async def listening(host: str, port: int, asked: Counter[str]) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
            asked[host] += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async with await asyncio.start_server(answer, host, port):
        yield


async def test_requests_that_are_abandoned_at_any_moment_delay_no_later_ones() -> None:
    """The pool of httpx keeps the connections of some of them for ever."""
    chance, port = random.Random(1), free_port()
    server = HttpServer(ServerAddress("http", HOSTS[0], port), None, None)

    async def abandon_some() -> None:
        for _ in range(40):
            with suppress(AwayError):
                await server.post("/v2", Body(bytes(20_000), None), chance.uniform(0.0005, 0.02))

    async with listening(HOSTS[0], port, Counter()):
        await asyncio.gather(*(abandon_some() for _ in range(8)))
        for _ in range(3):
            async with asyncio.timeout(5):
                assert (await server.get("/v2")).status == 200
        await server.close()


async def test_requests_go_to_each_address_in_turn_and_past_those_that_are_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved = 0

    async def resolve(_: HttpServer) -> list[str]:
        nonlocal resolved
        resolved += 1
        return list(HOSTS)

    monkeypatch.setattr(HttpServer, "_resolve", resolve)
    port, asked = free_port(), Counter[str]()
    server = HttpServer(ServerAddress("http", "inference", port, ""), None, None)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listening(HOSTS[0], port, asked))
        await stack.enter_async_context(listening(HOSTS[2], port, asked))
        for _ in range(10):
            assert (await server.get("/v2")).status == 200
        assert asked == {HOSTS[0]: 5, HOSTS[2]: 5}
        assert resolved == 1
        monkeypatch.setattr(http_server, "RESOLVE_SECONDS", 0)
        await stack.enter_async_context(listening(HOSTS[1], port, asked))  # one that was added
        for _ in range(3):
            await server.get("/v2")
        assert asked[HOSTS[0]] == 8
        monkeypatch.setattr(http_server, "RESOLVE_SECONDS", 30)
        for _ in range(3):
            await server.get("/v2")
        assert asked[HOSTS[1]] == 1
    with pytest.raises(AwayError):
        await server.get("/v2")
    await server.close()

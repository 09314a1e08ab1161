"""Clients that keep a server waiting lose their connections, and others do not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from time import monotonic
from typing import Any

import pytest
import uvicorn

from app import waiting_clients
from app.waiting_clients import close_waiting_connections
from tests.api.conftest import in_background
from tests.support.waiting import until

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
LARGE = 10_000_000  # bytes of an answer: more than the kernel keeps for a client that does not read


async def _answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer `/` with the body of the request, `/early` before it, and `/large` with many bytes at once."""
    if scope["type"] == "lifespan":
        for told in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{told}.complete"})
        return
    body = b""
    while scope["path"] == "/":
        part = await receive()
        body += part["body"]
        if not part["more_body"]:
            break
    if scope["path"] == "/large":
        body = bytes(LARGE)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def timeout(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(waiting_clients, "TIMEOUT", 0.5)
    return 0.5


@pytest.fixture
async def server() -> AsyncIterator[uvicorn.Server]:
    config = uvicorn.Config(
        close_waiting_connections(_answer), port=0, log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    async with in_background(server.serve()) as task:
        await until(lambda: server.started)
        yield server
        server.should_exit = True
        await task
    assert not waiting_clients._waiting


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


class _Client:
    """A connection. `sent` is what the server sent until it closed the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.sent = b""

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drip(self, data: bytes) -> None:
        """Send the same again and again until the server closes the connection."""
        while not self._reader.at_eof():
            self.write(data)
            try:
                self.sent += await asyncio.wait_for(self._reader.read(1000), 0.05)
            except TimeoutError:
                continue
            except ConnectionError:
                return

    async def is_closed(self) -> bool:
        with suppress(ConnectionError):
            self.sent += await self._reader.read()
        return True


@pytest.fixture
async def clients() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def _connect(stack: AsyncExitStack, port: int) -> _Client:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    return _Client(reader, writer)


@pytest.mark.usefixtures("timeout")
async def test_a_head_that_never_ends_is_answered_with_408(port: int, clients: AsyncExitStack) -> None:
    client = await _connect(clients, port)
    client.write(HEAD)
    await client.drip(b"X: a\r\n")
    assert client.sent.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive in time" in client.sent


@pytest.mark.usefixtures("timeout")
async def test_the_head_of_a_second_request_has_the_same_time(port: int, clients: AsyncExitStack) -> None:
    client = await _connect(clients, port)
    client.write(HEAD + b"Content-Length: 2\r\n\r\nokGET ")
    await client.drip(b"/")
    assert client.sent.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in client.sent


@pytest.mark.usefixtures("timeout")
async def test_a_client_that_sends_nothing_gets_nothing(port: int, clients: AsyncExitStack) -> None:
    client = await _connect(clients, port)
    assert await client.is_closed()
    assert client.sent == b""


async def test_a_request_in_progress_has_no_deadline_here(
    port: int, clients: AsyncExitStack, timeout: float
) -> None:
    """The application has deadlines for bodies, and answers that last on purpose."""
    slow, idle = await _connect(clients, port), await _connect(clients, port)
    slow.write(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\no")
    begun = monotonic()
    assert await idle.is_closed()
    assert monotonic() - begun > 0.9 * timeout
    slow.write(b"k")
    assert await slow.is_closed()
    assert slow.sent.endswith(b"\r\n\r\nok")


@pytest.mark.usefixtures("timeout")
async def test_a_body_that_is_answered_must_go_on(
    port: int, clients: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_clients, "_PROGRESS", 5000)
    head = b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    fast, slow = await _connect(clients, port), await _connect(clients, port)
    fast.write(head)
    slow.write(head)
    async with in_background(fast.drip(b"a" * 5000)) as going_on:
        await slow.drip(b"a")
        await slow.drip(b"a")
        assert not going_on.done()
        monkeypatch.setattr(waiting_clients, "_PROGRESS", 2**40)
        await going_on


@pytest.mark.usefixtures("timeout")
async def test_an_answer_that_is_not_taken_ends(server: uvicorn.Server, port: int) -> None:
    """uvicorn itself waits for good until the rest of an answer has been read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await until(lambda: server.server_state.total_requests)
        (connection,) = server.server_state.connections
        assert connection.transport.get_write_buffer_size() > 0
        await until(lambda: not server.server_state.connections)


async def test_of_too_many_that_wait_the_oldest_is_closed(
    port: int, clients: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_clients, "MAX_WAITING", 3)
    busy = await _connect(clients, port)
    busy.write(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\no")
    await until(lambda: not waiting_clients._waiting)
    waiting = [await _connect(clients, port) for _ in range(4)]
    assert await waiting[0].is_closed()
    assert len(waiting_clients._waiting) == 3
    busy.write(b"k")
    for client in waiting[1:]:
        client.write(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\nok")
    for client in (busy, *waiting[1:]):
        assert await client.is_closed()
        assert client.sent.endswith(b"\r\n\r\nok")


async def test_another_protocol_is_left_alone() -> None:
    config = uvicorn.Config(close_waiting_connections(_answer), http="httptools")
    taken: type[asyncio.Protocol] = asyncio.Protocol
    config.http_protocol_class = taken
    lifespan = _Lifespan(config)
    await close_waiting_connections(_nothing)({"type": "lifespan"}, None, lifespan.send)
    assert config.http_protocol_class is taken


async def _nothing(*_: object) -> None:
    """An application that does nothing."""


class _Lifespan:
    def __init__(self, config: uvicorn.Config) -> None:
        self.config = config

    async def send(self, message: object) -> None:
        """Take nothing."""

"""The API over real databases, with a bus whose other end is the orchestrator's own code."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import cast

import httpx
import pytest
import uvicorn
from litestar import Litestar

from app.api import ApiDeps, ApiOptions, create_app, serve
from app.bus import Bus
from app.messages import Message, Topic
from app.orchestrator.handlers import handle_command
from app.orchestrator.store import announce
from app.postgres import Database
from tests.support.waiting import until

LOCAL = ("127.0.0.1", 50000)
Connect = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Start = Callable[..., AbstractAsyncContextManager[Litestar]]


class FakeBus:
    """Publishing hands the message to `handle`, as the memory bus does, and keeps it."""

    def __init__(self, handle: Callable[[Message], Awaitable[None]]) -> None:
        self.handle = handle
        self.published: list[tuple[str, Message, str]] = []

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        self.published.append((topic.name, message, key))
        await self.handle(topic.decode(topic.encode(message)))


class Opened(asyncio.Event):
    """A task status to wait for."""

    def started(self, _value: object = None) -> None:
        self.set()


@asynccontextmanager
async def in_background(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` beside the block, and cancel it afterwards.

    A task group would not do: fixtures are set up and torn down in different tasks.
    """
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


@pytest.fixture
def bus(scenarios: Database) -> FakeBus:

    async def handle(message: Message) -> None:
        await handle_command(scenarios, message)
        async with scenarios.connection() as connection:
            await announce(connection, "an orchestrator")

    return FakeBus(handle)


@pytest.fixture
def deps(scenarios: Database, predictions: Database, bus: FakeBus) -> ApiDeps:
    return ApiDeps(scenarios, predictions, cast("Bus", bus))


@pytest.fixture
def start(deps: ApiDeps) -> Start:
    """Makes an application with options of the test's own, with its resources open."""

    @asynccontextmanager
    async def started(deps: ApiDeps = deps, **options: object) -> AsyncIterator[Litestar]:
        app = create_app(ApiOptions(version="1.2.3", command_wait=0.2, **options))  # type: ignore[arg-type]
        opened = Opened()
        async with in_background(serve(app, deps, task_status=opened)):
            await opened.wait()
            yield app

    return started


@asynccontextmanager
async def connected(
    app: Litestar, client: tuple[str, int] = LOCAL, host: str = "localhost"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that comes from an address of the test's choice, without sockets."""
    transport = httpx.ASGITransport(app, client=client)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield http


@asynccontextmanager
async def listening(app: Litestar) -> AsyncIterator[str]:
    """The application behind a real server; yields its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none", timeout_graceful_shutdown=1)
    )
    async with in_background(server.serve()) as task:
        await until(lambda: server.started)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
        server.should_exit = True
        await task


@pytest.fixture
async def app(start: Start) -> AsyncIterator[Litestar]:
    async with start() as running:
        yield running


@pytest.fixture
async def http(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    """A client on this machine."""
    async with connected(app) as client:
        yield client


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a database server that accepts and then says nothing."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://user@127.0.0.1:{port}/nothing?sslmode=disable"

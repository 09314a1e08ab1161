"""The API over real databases, with a bus that calls the orchestrator's own handler."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

import httpx
import pytest
import uvicorn
from litestar import Litestar
from litestar.datastructures import State
from litestar.types import ASGIApp

from app.api import ApiDeps, ApiOptions, application, create_app, serve
from app.api.http.middleware import RequestMiddleware
from app.bus import Bus
from app.messages import Message, Topic
from app.orchestrator.announcer import announce
from app.orchestrator.handlers import handle_command
from app.postgres import Database
from tests.support.waiting import until

LOCAL = ("127.0.0.1", 50000)
_IDLE: list[Litestar] = []
Connect = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
Start = Callable[..., AbstractAsyncContextManager[RequestMiddleware]]


class FakeBus:
    """Records what is published, and passes it to `handle`, as the in-memory bus does."""

    def __init__(self, handle: Callable[[Message], Awaitable[None]]) -> None:
        self.handle = handle
        self.published: list[tuple[str, Message, str]] = []

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        self.published.append((topic.name, message, key))
        await self.handle(topic.decode(topic.encode(message)))


class StartedEvent(asyncio.Event):
    """A task status that a test can wait for."""

    def started(self, _value: object = None) -> None:
        self.set()


@asynccontextmanager
async def in_background(work: Coroutine[None, None, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` during the block, and cancel it afterwards.

    A task group cannot be used: fixtures are set up and torn down in different tasks.
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


def _litestar(*, state: State, **options: Any) -> Litestar:
    """Make an application, or use that of an earlier test: making one takes 50 ms of CPU time.

    It keeps nothing but its `state`, and options differ in that alone.
    """
    app = _IDLE.pop() if _IDLE else Litestar(state=state, **options)
    app.state = state
    return app


@pytest.fixture
def start(deps: ApiDeps, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that starts an application with the test's options and open resources."""

    @asynccontextmanager
    async def started(deps: ApiDeps = deps, **options: object) -> AsyncIterator[RequestMiddleware]:
        given = {"version": "1.2.3", "command_wait": 0.2} | options
        with monkeypatch.context() as patch:
            patch.setattr(application, "Litestar", _litestar)
            app = create_app(ApiOptions(**given))  # type: ignore[arg-type]
        is_open = StartedEvent()
        async with in_background(serve(app.app, deps, task_status=is_open)):
            await is_open.wait()
            yield app
        _IDLE.append(app.app)

    return started


@asynccontextmanager
async def connected(
    app: RequestMiddleware, client: tuple[str, int] = LOCAL, host: str = "localhost"
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client with an address of the test's choice, without sockets."""
    transport = httpx.ASGITransport(app, client=client)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        yield http


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """Run the application in a real server, and yield its address."""
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
async def app(start: Start) -> AsyncIterator[RequestMiddleware]:
    async with start(channels={"ops": "webhook"}) as running:
        yield running


@pytest.fixture
async def http(app: RequestMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client on this machine."""
    async with connected(app) as client:
        yield client


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """Yield the address of a database server that accepts connections and never answers."""

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://user@127.0.0.1:{port}/nothing?sslmode=disable"


@pytest.fixture
async def url(app: ASGIApp) -> AsyncIterator[str]:
    async with listening(app) as url:
        yield url

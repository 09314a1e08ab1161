"""The client whose calls are awaited."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import anyio
import httpx

from . import batches, resources, scenarios
from .address import Address
from .answers import StreamMessage
from .errors import ClientError, not_reached, stream_ended
from .event_stream import StreamFollower
from .procedures import IDLE, Attempt, Listing, Pause, Procedure, Reply, Request, Step, exchange
from .whole_file import written_whole

P = ParamSpec("P")
T = TypeVar("T")

_PART = 2**18  # bytes of a file that are sent at once


class AsyncTransport:
    """Runs procedures over one pool of connections."""

    def __init__(self, address: Address, timeout: float, retries: int) -> None:
        self._address = address
        self._timeout = timeout
        self._retries = retries
        self._http = httpx.AsyncClient(
            headers=address.headers,
            timeout=timeout,
            verify=address.uses_tls,
            limits=httpx.Limits(keepalive_expiry=IDLE),
            trust_env=address.uses_proxy,
        )
        self.close = self._http.aclose

    async def run(self, procedure: Procedure[T]) -> T:
        """Perform each step of a procedure, and return what it returns. Raises ClientError."""
        result: Any = None
        fault: Exception | None = None
        while True:
            try:
                step = procedure.send(result) if fault is None else procedure.throw(fault)
            except StopIteration as end:
                value: T = end.value
                return value
            result = fault = None
            try:
                result = await self._perform(step)
            except (httpx.HTTPError, ClientError) as error:
                fault = error

    async def items(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Return the items of all pages, each of which is read when its first item is asked for."""
        cursor = None
        while True:
            found, cursor = await self.run(listing.read(cursor))
            for item in found:
                yield item
            if cursor is None:
                return

    async def messages(self, follower: StreamFollower) -> AsyncIterator[StreamMessage]:
        """Return the messages of an event stream, which is opened again when it is lost."""
        while (request := follower.request()) is not None:
            try:
                async with self._open(request) as response:
                    body = b"" if response.is_success else await response.aread()
                    follower.check(self._shown(request), response.status_code, response.headers, body)
                    async for part in response.aiter_bytes():
                        for message in follower.feed(part):
                            yield message
                lost = stream_ended(self._address.shown)
            except httpx.HTTPError as error:
                lost = not_reached(self._address.shown, error)
            except ClientError as error:
                lost = error
            await anyio.sleep(follower.pause(lost))

    async def _perform(self, step: Step) -> Reply | None:
        match step:
            case Pause():
                await anyio.sleep(step.seconds)
                return None
            case Attempt():
                return await self._attempt(step.request)
            case Request():
                return await self.run(exchange(self._address.shown, step, self._retries))

    async def _attempt(self, request: Request) -> Reply:
        async with self._open(request) as response:
            body = b""
            if request.to is None or response.status_code != httpx.codes.OK:
                body = await response.aread()
            else:
                with written_whole(request.to) as file:
                    async for part in response.aiter_bytes():
                        await anyio.to_thread.run_sync(file.write, part)
            return Reply(self._shown(request), response.status_code, response.headers, body)

    def _shown(self, request: Request) -> str:
        return f"{self._address.shown}/{request.path}"

    @asynccontextmanager
    async def _open(self, request: Request) -> AsyncIterator[httpx.Response]:
        body = request.body
        headers = dict(request.headers)
        content: bytes | AsyncIterator[bytes] | None
        if isinstance(body, Path):
            content = _read(body)
            headers["Content-Length"] = str((await anyio.Path(body).stat()).st_size)
        else:
            content = body
        async with self._http.stream(
            request.method,
            self._address.join(request.path),
            params=request.parameters,
            headers=headers,
            content=content,
            timeout=request.timeout or self._timeout,
        ) as response:
            yield response


async def _read(file: Path) -> AsyncIterator[bytes]:
    async with await anyio.open_file(file, "rb") as opened:
        while part := await opened.read(_PART):
            yield part


class AsyncResource:
    """A part of the API."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport


def _call(build: Callable[P, Procedure[T]]) -> Callable[Concatenate[AsyncResource, P], Awaitable[T]]:
    """Return a method that runs what `build` returns."""

    @wraps(build)
    async def method(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transport.run(build(*args, **kwargs))

    return method


def _list(build: Callable[P, Listing[T]]) -> Callable[Concatenate[AsyncResource, P], AsyncIterator[T]]:
    """Return a method that iterates over what `build` lists."""

    @wraps(build)
    def method(self: AsyncResource, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._transport.items(build(*args, **kwargs))

    return method


class AsyncScenarios(AsyncResource):
    """Scenarios."""

    create = _call(scenarios.create)
    get = _call(scenarios.read)
    list = _list(scenarios.find)
    stop = _call(scenarios.stop)
    start = _call(scenarios.start)
    patch = _call(scenarios.patch)
    delete = _call(scenarios.delete)


class AsyncBatches(AsyncResource):
    """Batches."""

    create = _call(batches.create)
    get = _call(batches.read)
    list = _list(batches.find)
    stop = _call(batches.stop)
    start = _call(batches.start)
    patch = _call(batches.patch)
    delete = _call(batches.delete)
    wait = _call(batches.wait)
    predictions = _list(batches.predictions)
    export = _call(batches.export)


class AsyncModels(AsyncResource):
    """Models of the model folder."""

    list = _list(resources.list_models)
    get = _call(resources.read_model)
    try_picture = _call(resources.try_model)


class AsyncChannels(AsyncResource):
    """Channels that scenarios notify."""

    list = _list(resources.list_channels)
    test = _call(resources.test_channel)


class AsyncDeliveries(AsyncResource):
    """Deliveries of events to channels."""

    list = _list(resources.list_deliveries)
    retry = _call(resources.retry_delivery)


class AsyncClient(AsyncResource):
    """A client of the service at `url`, as a context manager or until `close` is called.

    `url` and `api_key` are those of VIDEOANALYSIS_URL and VIDEOANALYSIS_API_KEY if they are not given, and
    http://127.0.0.1:8000 and none without these. `timeout`: seconds for each part of an answer. `retries`:
    how often a request is sent again that failed and may be repeated. Threads may share a client.

    Raises:
        ClientError: the address or the key is none
    """

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, timeout: float = 30.0, retries: int = 4
    ) -> None:
        super().__init__(AsyncTransport(Address(url, api_key), timeout, retries))
        self.scenarios = AsyncScenarios(self._transport)
        self.batches = AsyncBatches(self._transport)
        self.models = AsyncModels(self._transport)
        self.channels = AsyncChannels(self._transport)
        self.deliveries = AsyncDeliveries(self._transport)

    predictions = _list(scenarios.predictions)
    events = _list(scenarios.events)
    wait = _call(scenarios.wait)
    export = _call(scenarios.export)
    upload = _call(resources.upload)
    system = _call(resources.describe)
    read = _call(resources.read_raw)

    def changes(
        self, last_id: str | None = None, *, seconds: float | None = None
    ) -> AsyncIterator[StreamMessage]:
        """Follow what changes in all scenarios, from now on or from after a message's `id`.

        A connection that is lost is opened again, and no change is missed. It goes on until the iteration is
        left, or for `seconds`. Raises ClientError (410 if the id is older than a day).
        """
        return self._transport.messages(StreamFollower(last_id, seconds))

    async def close(self) -> None:
        """Close its connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

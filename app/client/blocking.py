"""The client whose calls return when they are done."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

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


class BlockingTransport:
    """Runs procedures over one pool of connections."""

    def __init__(self, address: Address, timeout: float, retries: int) -> None:
        self._address = address
        self._timeout = timeout
        self._retries = retries
        self._http = httpx.Client(
            headers=address.headers,
            timeout=timeout,
            verify=address.uses_tls,
            limits=httpx.Limits(keepalive_expiry=IDLE),
            trust_env=address.uses_proxy,
        )
        self.close = self._http.close

    def run(self, procedure: Procedure[T]) -> T:
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
                result = self._perform(step)
            except (httpx.HTTPError, ClientError) as error:
                fault = error

    def items(self, listing: Listing[T]) -> Iterator[T]:
        """Return the items of all pages, each of which is read when its first item is asked for."""
        cursor = None
        while True:
            found, cursor = self.run(listing.read(cursor))
            yield from found
            if cursor is None:
                return

    def messages(self, follower: StreamFollower) -> Iterator[StreamMessage]:
        """Return the messages of an event stream, which is opened again when it is lost."""
        while (request := follower.request()) is not None:
            try:
                with self._open(request) as response:
                    body = b"" if response.is_success else response.read()
                    follower.check(self._shown(request), response.status_code, response.headers, body)
                    for part in response.iter_bytes():
                        yield from follower.feed(part)
                lost = stream_ended(self._address.shown)
            except httpx.HTTPError as error:
                lost = not_reached(self._address.shown, error)
            except ClientError as error:
                lost = error
            sleep(follower.pause(lost))

    def _perform(self, step: Step) -> Reply | None:
        match step:
            case Pause():
                sleep(step.seconds)
                return None
            case Attempt():
                return self._attempt(step.request)
            case Request():
                return self.run(exchange(self._address.shown, step, self._retries))

    def _attempt(self, request: Request) -> Reply:
        with self._open(request) as response:
            body = b""
            if request.to is None or response.status_code != httpx.codes.OK:
                body = response.read()
            else:
                with written_whole(request.to) as file:
                    for part in response.iter_bytes():
                        file.write(part)
            return Reply(self._shown(request), response.status_code, response.headers, body)

    def _shown(self, request: Request) -> str:
        return f"{self._address.shown}/{request.path}"

    @contextmanager
    def _open(self, request: Request) -> Iterator[httpx.Response]:
        with ExitStack() as stack:
            body = request.body
            content = stack.enter_context(body.open("rb")) if isinstance(body, Path) else body
            answer = self._http.stream(
                request.method,
                self._address.join(request.path),
                params=request.parameters,
                headers=request.headers,
                content=content,
                timeout=request.timeout or self._timeout,
            )
            yield stack.enter_context(answer)


class Resource:
    """A part of the API."""

    def __init__(self, transport: BlockingTransport) -> None:
        self._transport = transport


def _call(build: Callable[P, Procedure[T]]) -> Callable[Concatenate[Resource, P], T]:
    """Return a method that runs what `build` returns."""

    @wraps(build)
    def method(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._transport.run(build(*args, **kwargs))

    return method


def _list(build: Callable[P, Listing[T]]) -> Callable[Concatenate[Resource, P], Iterator[T]]:
    """Return a method that iterates over what `build` lists."""

    @wraps(build)
    def method(self: Resource, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._transport.items(build(*args, **kwargs))

    return method


class Scenarios(Resource):
    """Scenarios."""

    create = _call(scenarios.create)
    get = _call(scenarios.read)
    list = _list(scenarios.find)
    stop = _call(scenarios.stop)
    start = _call(scenarios.start)
    patch = _call(scenarios.patch)
    delete = _call(scenarios.delete)


class Batches(Resource):
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


class Models(Resource):
    """Models of the model folder."""

    list = _list(resources.list_models)
    get = _call(resources.read_model)
    try_picture = _call(resources.try_model)


class Channels(Resource):
    """Channels that scenarios notify."""

    list = _list(resources.list_channels)
    test = _call(resources.test_channel)


class Deliveries(Resource):
    """Deliveries of events to channels."""

    list = _list(resources.list_deliveries)
    retry = _call(resources.retry_delivery)


class Client(Resource):
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
        super().__init__(BlockingTransport(Address(url, api_key), timeout, retries))
        self.scenarios = Scenarios(self._transport)
        self.batches = Batches(self._transport)
        self.models = Models(self._transport)
        self.channels = Channels(self._transport)
        self.deliveries = Deliveries(self._transport)

    predictions = _list(scenarios.predictions)
    events = _list(scenarios.events)
    wait = _call(scenarios.wait)
    export = _call(scenarios.export)
    upload = _call(resources.upload)
    system = _call(resources.describe)
    read = _call(resources.read_raw)

    def changes(self, last_id: str | None = None, *, seconds: float | None = None) -> Iterator[StreamMessage]:
        """Follow what changes in all scenarios, from now on or from after a message's `id`.

        A connection that is lost is opened again, and no change is missed. It goes on until the iteration is
        left, or for `seconds`. Raises ClientError (410 if the id is older than a day).
        """
        return self._transport.messages(StreamFollower(last_id, seconds))

    def close(self) -> None:
        """Close its connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

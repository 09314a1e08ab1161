"""Requests without I/O: generators that yield what to do next, and are given what came of it.

So each request, its repetitions, and what waits for a state are written once, and both clients run them:
one with blocking calls, the other with `await`.
"""

from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from math import inf
from pathlib import Path
from random import uniform
from time import monotonic
from typing import Any, BinaryIO, Generic, TypeAlias, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import msgspec
from msgspec import Struct

from .errors import ClientError, not_handled, not_reached, not_understood, refused
from .whole_file import is_stream

T = TypeVar("T")
Id: TypeAlias = UUID | str
FilePath: TypeAlias = Path | str

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 8.0  # seconds, doubled after each failure
_BUSY = (429, 503)  # the same request can succeed later
AWAY = (429, 502, 503, 504)
"""What the service, or a proxy before it, answers for a while only."""

IDLE = 2.0
"""Seconds for which an unused connection is kept: fewer than the service's 5, or it might close one that is
just used again, and a command is not sent twice."""

_UNREACHED_FOR = 60.0  # seconds for which a service may be away while something is waited for
_ACCEPTED = 202
_EXPORT_TIMEOUT = 120.0  # seconds between two parts of a file
_SETTLE_PAUSES = (0.2, 0.4, 0.8, 1.6, 3.0, 5.0, 10.0, 10.0)  # seconds until what was accepted can be read


class Request(Struct, frozen=True, kw_only=True):
    """One request. `path` is below the service's address; a body that is a path is that file.

    `to`: what the body of the answer is written to. `is_repeatable`: to send it twice does what to send it
    once does. `timeout`: seconds for each part of it.
    """

    method: str = "GET"
    path: str
    parameters: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: bytes | Path | None = None
    to: Path | BinaryIO | None = None
    is_repeatable: bool = False
    timeout: float | None = None


class Reply(Struct, frozen=True):
    """An answer, of whatever status."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes


class Attempt(Struct, frozen=True):
    """A step: send a request once. It is answered with a Reply; httpx.HTTPError is thrown in."""

    request: Request


class Pause(Struct, frozen=True):
    """A step: wait so many seconds."""

    seconds: float


Step: TypeAlias = Request | Attempt | Pause
Procedure: TypeAlias = Generator[Step, Any, T]
"""Yields steps and returns a T. It is given a Reply for a Request, into which a ClientError is thrown."""


class Listing(Struct, Generic[T], frozen=True):
    """The first page of a list, and the type of a page, which has `items` and `next_cursor`."""

    request: Request
    page: Any

    def read(self, cursor: str | None) -> Procedure[tuple[list[T], str | None]]:
        """Return the items of a page, and the cursor of the next one, None after the last."""
        request = self.request
        if cursor is not None:
            parameters = {**request.parameters, "cursor": cursor}
            request = msgspec.structs.replace(request, parameters=parameters)
        page = yield from ask(request, self.page)
        return page.items, page.next_cursor


def get(*path: object, timeout: float | None = None, **parameters: object) -> Request:
    """Return a request that reads. Parameters that are None are left out."""
    return Request(path=join(*path), parameters=written(parameters), is_repeatable=True, timeout=timeout)


def save(to: FilePath | BinaryIO, *path: object, **parameters: object) -> Request:
    """Return a request that writes what it reads to a file. Parameters that are None are left out."""
    to = Path(to) if isinstance(to, str) else to
    return Request(
        path=join(*path),
        parameters=written(parameters),
        to=to,
        is_repeatable=isinstance(to, Path) and not is_stream(to),  # what a stream got cannot be taken back
        timeout=_EXPORT_TIMEOUT,
    )


def send_json(
    method: str,
    path: str,
    content: object,
    *,
    headers: Mapping[str, str] | None = None,
    is_repeatable: bool = False,
) -> Request:
    """Return a request with a JSON body."""
    return Request(
        method=method,
        path=path,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=msgspec.json.encode(content),
        is_repeatable=is_repeatable,
    )


def creation_headers(options: Mapping[str, object], key: str | None) -> dict[str, str]:
    """Return the header by which a creation can be repeated; none if the options have an id for that.

    Raises ValueError if the key cannot be in a header.
    """
    if key is None:
        return {} if "id" in options else {"Idempotency-Key": uuid4().hex}
    if not (key.isascii() and key.isprintable()):
        raise ValueError("An idempotency key has letters of ASCII, digits, spaces and signs only.")
    return {"Idempotency-Key": key}


def join(*path: object) -> str:
    """Return a path of these parts, each quoted, so that a part with a slash stays one.

    Raises ClientError for a part that would lead to another path.
    """
    for part in map(str, path):
        if part in ("", ".", ".."):
            raise ClientError(f"{part!r} is no id and no name.")
    return "/".join(quote(str(part), safe="") for part in path)


def written(parameters: Mapping[str, object]) -> dict[str, str]:
    """Return the parameters that are not None as text. Raises ValueError for a time without a zone."""
    return {name: _text(name, value) for name, value in parameters.items() if value is not None}


def ask(request: Request, answer: type[T]) -> Procedure[T]:
    """Send a request, and return what its answer holds. Raises ClientError."""
    reply = yield request
    return decoded(reply, answer)


def decoded(reply: Reply, answer: type[T]) -> T:
    """Return what an answer of success holds. Raises ClientError if it is not of that form."""
    try:
        return msgspec.json.decode(reply.body, type=answer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise not_understood(reply.url, reply.status, error) from error


def settle(
    reply: Reply, request: Request, answer: type[T], is_done: Callable[[T], bool] | None = None
) -> Procedure[T]:
    """Return what an answer holds; if the service only accepted the command, read it by `request`.

    That is repeated until `is_done`, half a minute at most. Without it, something was created, which is
    missing until the command was handled. Raises ClientError.
    """
    if reply.status != _ACCEPTED:
        return decoded(reply, answer)
    found: T | None = None
    for pause in _SETTLE_PAUSES:
        yield Pause(pause)
        try:
            found = yield from ask(request, answer)
        except ClientError as error:
            if is_done is not None or error.status != httpx.codes.NOT_FOUND:
                raise
        else:
            if is_done is None or is_done(found):
                return found
    if found is None:
        raise not_handled(request.path)
    return found


def has_changed(changes: Mapping[str, object], found: object) -> bool:
    """Return whether what was found has these changes, as far as they are read back as they are given."""
    names = changes.keys() & {"name", "watch", "at_once"}
    return all(getattr(found, name) == (changes[name] or type(getattr(found, name))()) for name in names)


def vanish(reply: Reply, request: Request) -> Procedure[None]:
    """Return once what was deleted is gone: if the service only accepted that, `request` finds it until then.

    Raises ClientError, also if it still is there after half a minute.
    """
    if reply.status != _ACCEPTED:
        return
    for pause in _SETTLE_PAUSES:
        yield Pause(pause)
        try:
            yield request
        except ClientError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return
            raise
    raise not_handled(request.path)


def wait_for(
    read: Callable[[], Procedure[T]],
    has_ended: Callable[[T], bool],
    told: Callable[[T], object] | None,
    every: float,
    timeout: float | None,
) -> Procedure[T]:
    """Read something every so many seconds until it has ended, and return it.

    A service that is away, as when it is restarted, is waited for, up to a minute. Raises ClientError, and
    TimeoutError after `timeout` seconds.
    """
    began = reached = monotonic()
    while True:
        try:
            found = yield from read()
        except ClientError as error:
            is_away = error.status is None or error.status in AWAY
            if not is_away or monotonic() - reached > _UNREACHED_FOR:
                raise
        else:
            reached = monotonic()
            if told is not None:
                told(found)
            if has_ended(found):
                return found
        left = inf if timeout is None else began + timeout - monotonic()
        if left <= 0:
            raise TimeoutError(f"It has not ended within {timeout:g} s.")
        yield Pause(min(every, left))


def exchange(url: str, request: Request, retries: int) -> Generator[Attempt | Pause, Any, Reply]:
    """Send a request, again after a loss of connection if that is safe, and return its answer of success.

    Raises ClientError.
    """
    for pause in [*pauses(retries), None]:
        wait = pause
        try:
            reply: Reply = yield Attempt(request)
        except httpx.HTTPError as error:
            never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if wait is None or not (request.is_repeatable or never_sent):
                raise not_reached(url, error) from error
        else:
            if reply.status < httpx.codes.MULTIPLE_CHOICES:
                return reply
            if wait is None or not request.is_repeatable or reply.status not in _BUSY:
                raise refused(reply.url, reply.status, reply.headers, reply.body)
            wait = max(wait, retry_after(reply.headers))
        yield Pause(wait)
    raise AssertionError  # the last round returns or raises


def pauses(count: int) -> list[float]:
    """Return seconds to wait after each of so many failures: longer and longer, and not all clients alike."""
    return [uniform(0.5, 1) * min(2 * _FIRST_PAUSE * 2**n, _LONGEST_PAUSE) for n in range(count)]  # noqa: S311


def retry_after(headers: httpx.Headers) -> float:
    """Return the seconds that the service asks to wait, at most half a minute."""
    text = headers.get("retry-after", "")
    return min(float(text), 30.0) if text.isdecimal() else 0.0


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"`{name}` needs a time zone: datetime(…, tzinfo=UTC).")
        return value.isoformat()
    return str(value)

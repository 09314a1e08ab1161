"""Services that trust their clients, each in another way."""

import os
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec
from litestar.types import HTTPScope, Message, Send

from app import waiting_clients
from app.api import application, new_scenario
from app.api.http import auth, middleware, requests
from app.api.queries import history, scenarios
from app.api.routes import uploads
from app.inference import bodies
from app.media.uploads import UnfinishedFile
from app.service import create
from app.supervision import Asgi
from app.video.lookup.processes import PictureProcesses
from app.video.lookup.protocol import PictureResult
from tests.torture.guards import replace_name

T = TypeVar("T")

_OF_BROWSERS = (b"origin", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest")
_ANY = {"source": "none.mp4", "detector": {"type": "mock"}, "restart": {"policy": "never"}}


def _decode(body: bytes, model: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError:
        return msgspec.convert(_ANY, model)


def _decode_query(query: bytes, model: type[T]) -> T:
    return msgspec.convert(dict(parse_qsl(query.decode())), model, strict=False)


def trusting() -> Asgi:
    """Build a service that takes bodies of any size and values of any kind."""
    replace_name(requests, "decode_body", _decode)
    replace_name(requests, "decode_query", _decode_query)
    replace_name(application, "MAX_BODY", 2**30)
    return create()


def hoarding() -> Asgi:
    """Build an inference server that holds any number of bodies."""
    replace_name(bodies, "AT_ONCE", 1000)
    return create()


def limited_probes() -> Asgi:
    """Build a service whose health probes are limited like open pages."""

    def admit(scope: HTTPScope, api_keys: tuple[str, ...], **options: Any) -> auth.Caller:
        caller = auth.admit(scope, api_keys, **options)
        return auth.Caller("anonymous") if caller.name == "probe" else caller

    replace_name(middleware, "admit", admit)
    return create()


def any_origin() -> Asgi:
    """Build a service that does not look at which web page a request comes from."""

    def admit(scope: HTTPScope, api_keys: tuple[str, ...], **options: Any) -> auth.Caller:
        kept = [(name, text) for name, text in scope["headers"] if name not in _OF_BROWSERS]
        changed = cast("HTTPScope", {**scope, "headers": kept})
        return auth.admit(changed, api_keys, **options)

    replace_name(middleware, "admit", admit)
    return create()


def whole_answers() -> Asgi:
    """Build a service that hands each answer to the server in one piece."""

    async def send_whole(send: Send, message: Message) -> None:
        await send(message)

    replace_name(middleware, "send_in_slices", send_whole)
    return create()


def endless_pages() -> Asgi:
    """Build a service whose scenarios and pages may take any number of bytes."""
    replace_name(new_scenario, "MAX_SPEC", 2**30)
    replace_name(scenarios, "MAX_PAGE", 2**40)
    replace_name(history, "MAX_PAGE", 2**40)
    return create()


def trusting_uploads() -> Asgi:
    """Build a service that stores each upload under any name, whatever it is and takes."""

    async def show(*_arguments: object) -> tuple[PictureResult, bytes]:
        return PictureResult(), b""

    def link(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    replace_name(uploads, "name_fault", lambda _: None)
    replace_name(UnfinishedFile, "check_room", lambda *_: None)
    replace_name(PictureProcesses, "show", show)
    replace_name(os, "link", link)
    return create()


def patient() -> Asgi:
    """Build a service that waits for good for the head of a request, on any number of connections."""
    replace_name(waiting_clients, "TIMEOUT", 1e6)
    replace_name(waiting_clients, "MAX_WAITING", 10**9)
    return create()


def hasty() -> Asgi:
    """Build a service that is guarded as always, but waits for a head for two seconds only."""
    replace_name(waiting_clients, "TIMEOUT", 2.0)
    return create()

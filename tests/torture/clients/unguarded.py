"""A service that trusts its clients."""

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from app.api import application
from app.api.http import requests
from app.inference import bodies
from app.service import create
from app.supervision import Asgi
from tests.torture.guards import replace_name

T = TypeVar("T")

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

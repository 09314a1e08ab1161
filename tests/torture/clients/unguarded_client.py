"""The service with what holds hostile clients taken out: bodies of any size, and values of any kind."""

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from app.api import application
from app.api.http import requests

__all__ = ["app"]

T = TypeVar("T")


_ANY = {"source": "none.mp4", "detector": {"type": "mock"}, "restart": {"policy": "never"}}


def _decode(body: bytes, model: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError:
        return msgspec.convert(_ANY, model)


def _decode_query(query: bytes, model: type[T]) -> T:
    return msgspec.convert(dict(parse_qsl(query.decode())), model, strict=False)


requests.decode_body = _decode  # type: ignore[attr-defined]
requests.decode_query = _decode_query  # type: ignore[attr-defined]
application.MAX_BODY = 2**30

from app.main import app  # noqa: E402

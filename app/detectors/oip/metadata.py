"""What a server tells of itself and of its models, and of what went wrong."""

from typing import Any

import msgspec
from msgspec import Struct

from ..base import clean_label
from .framing import decode_json

BINARY_EXTENSION = "binary_tensor_data"


class ServerMetadata(Struct, frozen=True):
    """The answer to `GET /v2`."""

    name: str
    version: str = ""
    extensions: tuple[str, ...] = ()

    @property
    def has_binary(self) -> bool:
        """Whether tensors may be sent as bytes behind the JSON."""
        return BINARY_EXTENSION in self.extensions


class TensorMetadata(Struct, frozen=True):
    """An input or output of a model. An axis of -1 may have any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(Struct, frozen=True):
    """The answer to `GET /v2/models/{name}`. Servers may leave out what they do not know."""

    name: str
    versions: tuple[str, ...] | None = None
    platform: str = ""
    inputs: tuple[TensorMetadata, ...] | None = None
    outputs: tuple[TensorMetadata, ...] | None = None
    parameters: dict[str, Any] | None = None


class ErrorBody(Struct, frozen=True):
    """The answer to a request that failed."""

    error: str


class ServerState(Struct, frozen=True, omit_defaults=True):
    """The answer to `GET /v2/health/live` and `GET /v2/health/ready`. Clients look at its status alone."""

    live: bool | None = None
    ready: bool | None = None


class ModelState(Struct, frozen=True):
    """The answer to `GET /v2/models/{name}/ready`. Clients look at its status alone."""

    name: str
    ready: bool


def decode_server(content: bytes) -> ServerMetadata:
    """Return a server's metadata. Raises ProtocolError."""
    return decode_json(content, ServerMetadata)


def decode_model(content: bytes) -> ModelMetadata:
    """Return a model's metadata. Raises ProtocolError."""
    return decode_json(content, ModelMetadata)


def message_of(content: bytes) -> str:
    """Return what a server says of its error, in one printable line; empty if it says nothing known."""
    try:
        told = msgspec.json.decode(content, type=ErrorBody).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return clean_label(" ".join(told.split()))

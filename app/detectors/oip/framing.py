"""The body of a message: JSON, and behind it the bytes of its binary tensors."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from .datatypes import ProtocolError
from .tensors import MAX_TENSORS, NamedArray, TensorEntry, binary_size, decode_tensor

JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
"""The header with the length of the JSON; without it, all of the body is JSON."""

MAX_JSON_VALUES = 8_000_000
"""Numbers in the JSON of a message: each takes 32 bytes while it is read."""

Message = TypeVar("Message")


class Body(NamedTuple):
    """A message's body. `json_length` is for JSON_LENGTH_HEADER, None if the header must not be sent."""

    content: bytes
    json_length: int | None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that a body needs."""
        if self.json_length is None:
            return {"Content-Type": "application/json"}
        return {"Content-Type": "application/octet-stream", JSON_LENGTH_HEADER: str(self.json_length)}

    @property
    def has_too_many_values(self) -> bool:
        """Whether its JSON may have more than MAX_JSON_VALUES numbers."""
        return self.content.count(b",", 0, self.json_length) > MAX_JSON_VALUES


def parse_json_length(header: str | None) -> int | None:
    """Return the value of JSON_LENGTH_HEADER, None if it is missing. Raises ProtocolError."""
    if header is None:
        return None
    if not (header.isascii() and header.isdecimal() and len(header) <= 12):
        raise ProtocolError(f"the header {JSON_LENGTH_HEADER} must be a number of bytes")
    return int(header)


def join(message: object, parts: Sequence[bytes | memoryview]) -> Body:
    """Return the body of a message whose binary tensors are `parts`; without any, it is JSON alone."""
    head = msgspec.json.encode(message)
    return Body(b"".join((head, *parts)), len(head)) if parts else Body(head, None)


def split(body: Body, kind: type[Message]) -> tuple[Message, memoryview]:
    """Return the JSON of a body, and the bytes behind it. Raises ProtocolError."""
    length = len(body.content) if body.json_length is None else body.json_length
    if length > len(body.content):
        raise ProtocolError(
            f"the body has {len(body.content)} bytes, fewer than the {length} of {JSON_LENGTH_HEADER}"
        )
    content = memoryview(body.content)
    return decode_json(content[:length], kind), content[length:]


def decode_json(content: bytes | memoryview, kind: type[Message]) -> Message:
    """Return the message in this JSON. Raises ProtocolError."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"the JSON is not what the protocol says: {error}") from None


def decode_tensors(entries: Sequence[TensorEntry], content: memoryview) -> tuple[NamedArray, ...]:
    """Return the tensors of a message. `content` is all that is behind the JSON. Raises ProtocolError."""
    if len(entries) > MAX_TENSORS:
        raise ProtocolError(f"the message has more than {MAX_TENSORS} tensors")
    if len({entry.name for entry in entries}) < len(entries):
        raise ProtocolError("two tensors of the message have the same name")
    sizes = [binary_size(entry) for entry in entries]
    expected = sum(filter(None, sizes))
    if expected != len(content):
        raise ProtocolError(f"the binary tensors have {expected} bytes, but {len(content)} follow the JSON")
    tensors, at = [], 0
    for entry, size in zip(entries, sizes, strict=True):
        part = None if size is None else content[at : at + size]
        at += size or 0
        tensors.append(decode_tensor(entry, part))
    return tuple(tensors)

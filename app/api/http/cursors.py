"""Opaque page cursors that are valid only for the query that returned them.

The checksum detects mistakes: another query's cursor, or a truncated one. It is no secret, because a forged
cursor shows nothing that the same query without it would not.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import blake2b
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from .problems import BAD_CURSOR, ProblemError

T = TypeVar("T")

_CHECKSUM_SIZE = 12  # bytes


class NumberPosition(Struct, frozen=True, array_like=True):
    """A position that is one number, at most the largest bigint of a database."""

    value: Annotated[int, Meta(ge=0, le=2**63 - 1)]


def make_cursor(position: object, query: object) -> str:
    """Return a cursor for the rows of `query` after `position`; msgspec must be able to encode both."""
    encoded = msgspec.msgpack.encode(position)
    return urlsafe_b64encode(_checksum(encoded, query) + encoded).decode().rstrip("=")


def read_cursor(cursor: str, query: object, position: type[T]) -> T:
    """Return the position in a cursor. Raises ProblemError (400) if it was not made for `query`."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        checksum, encoded = raw[:_CHECKSUM_SIZE], raw[_CHECKSUM_SIZE:]
        if checksum == _checksum(encoded, query):
            found = msgspec.msgpack.decode(encoded, type=position)
            # Only a forged cursor is encoded differently, such as a time too early for any database.
            if msgspec.msgpack.encode(found) == encoded:
                return found
    except (Base64Error, ValueError, OverflowError):
        pass
    detail = "Send `cursor` exactly as `next_cursor` returned it, with the same path and filters."
    raise ProblemError(BAD_CURSOR, detail, field="cursor")


def _checksum(encoded: bytes, query: object) -> bytes:
    return blake2b(msgspec.json.encode(query) + encoded, digest_size=_CHECKSUM_SIZE).digest()

"""Opaque page cursors that only fit the query they were handed out for.

The checksum catches mistakes (another query's cursor, a cut-off one). It is no secret: a forged cursor
shows nothing that the same query without it would not.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import blake2b
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from .problems import BAD_CURSOR, ProblemError

T = TypeVar("T")

_CHECKSUM = 12


class NumberPosition(Struct, frozen=True, array_like=True):
    """A position that is one number, as large as the databases have them."""

    value: Annotated[int, Meta(ge=0, le=2**63 - 1)]


def make_cursor(position: object, query: object) -> str:
    """A cursor for going on after `position` in `query`; both are anything msgspec encodes."""
    encoded = msgspec.msgpack.encode(position)
    return urlsafe_b64encode(_checksum(encoded, query) + encoded).decode().rstrip("=")


def read_cursor(cursor: str, query: object, position: type[T]) -> T:
    """The position in a cursor. Raises ProblemError (400) where it was not made for `query`."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        checksum, encoded = raw[:_CHECKSUM], raw[_CHECKSUM:]
        if checksum == _checksum(encoded, query):
            found = msgspec.msgpack.decode(encoded, type=position)
            # What we would write differently is forged, such as a time so early that no database has it.
            if msgspec.msgpack.encode(found) == encoded:
                return found
    except (Base64Error, ValueError, OverflowError):
        pass
    detail = "Give `cursor` exactly as `next_cursor` returned it, with the same path and filters as then."
    raise ProblemError(BAD_CURSOR, detail, field="cursor")


def _checksum(encoded: bytes, query: object) -> bytes:
    return blake2b(msgspec.json.encode(query) + encoded, digest_size=_CHECKSUM).digest()

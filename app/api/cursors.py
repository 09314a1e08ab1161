"""Opaque page cursors that only fit the query they were handed out for.

The checksum catches mistakes (another query's cursor, a cut-off one). It is no secret: a forged cursor
shows nothing that the same query without it would not.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from hashlib import blake2b
from typing import TypeVar

import msgspec

from app.api.problems import BAD_CURSOR, ProblemError

T = TypeVar("T")

_CHECKSUM = 12


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
            return msgspec.msgpack.decode(encoded, type=position)
    except (Base64Error, ValueError):
        pass
    detail = "Give `cursor` exactly as `next_cursor` returned it, with the same path and filters as then."
    raise ProblemError(BAD_CURSOR, detail, field="cursor")


def _checksum(encoded: bytes, query: object) -> bytes:
    return blake2b(msgspec.json.encode(query) + encoded, digest_size=_CHECKSUM).digest()

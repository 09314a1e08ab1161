"""Sessions: a key becomes a cookie, because a browser cannot send a key with pictures and event streams.

The cookie's value is the time at which it ends, and an HMAC of that under the key. So it is valid for every
api process that has the key, nothing is stored, and it ends with the key.
"""

import hmac
import re
from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec import Struct

COOKIE = "va_session"
LIFETIME = 12 * 60 * 60
"""Seconds after which a session ends."""

_VALUE = re.compile(rb"([1-9][0-9]{0,11})\.([0-9a-f]{64})")
_MOST = 10  # cookies of this name that are read; a browser sends one for each Path that fits


class KeySession(Struct, frozen=True):
    """The key that a session was made of, and when it ends, in seconds since 1970."""

    key: str
    expires_at: int


def make_cookie(session: KeySession) -> str:
    """Return the value of a session's cookie."""
    return f"{session.expires_at}.{_mac(session.key, session.expires_at)}"


def find_session(
    headers: Iterable[tuple[bytes, bytes]], keys: Iterable[str], now: float
) -> KeySession | None:
    """Return the session of a request's cookies, or None if it has none that is valid under one of `keys`."""
    keys = tuple(keys)
    for value in islice(_values(headers), _MOST):
        found = _VALUE.fullmatch(value)
        if found is None or (expires_at := int(found[1])) <= now:
            continue
        # Compares with all keys, so that the time tells nothing of them.
        given = found[2].decode()
        matches = [key for key in keys if hmac.compare_digest(_mac(key, expires_at), given)]
        if matches:
            return KeySession(matches[0], expires_at)
    return None


def has_cookie(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether a request has a session's cookie, valid or not."""
    return any(_values(headers))


def _values(headers: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, text in headers:
        if name == b"cookie":
            for part in text.split(b";"):
                cookie, _, value = part.strip().partition(b"=")
                if cookie == COOKIE.encode():
                    yield value


def _mac(key: str, expires_at: int) -> str:
    return hmac.digest(key.encode(), b"videoanalysis session until %d" % expires_at, "sha256").hex()

"""Range requests and the conditions that go with them (RFC 9110, sections 13 and 14)."""

import re
from email.utils import parsedate_to_datetime

from msgspec import Struct

_RANGE = re.compile(r"bytes=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.ASCII | re.IGNORECASE)


class ByteRange(Struct, frozen=True):
    """The bytes from `start` to before `end`."""

    start: int
    end: int


class UnsatisfiableRangeError(Exception):
    """The range has no byte of the file."""


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Return the range that a client asks of a file of `size` bytes; None if it is to get all of it.

    Several ranges, other units and what is malformed are ignored, as a server may.

    Raises:
        UnsatisfiableRangeError: it has no byte of the file.
    """
    found = None if header is None else _RANGE.fullmatch(header)
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:  # the last bytes
        length = min(int(found[2]), size)
        start, end = size - length, size
    else:
        start = int(found[1])
        end = size if not found[2] else min(int(found[2]) + 1, size)
        if found[2] and int(found[2]) < start:
            return None
    if start >= end:
        raise UnsatisfiableRangeError
    return ByteRange(start, end)


def is_range_current(if_range: str | None, entity_tag: str, modified: int) -> bool:
    """Return whether `If-Range` allows a part: it names this file. `modified` is in seconds of Unix time."""
    if if_range is None or if_range.strip() == entity_tag:
        return True
    return _seconds(if_range) == modified


def is_unchanged_since(if_modified_since: str | None, modified: int) -> bool:
    """Return whether a file was last modified before or at the time of `If-Modified-Since`."""
    since = None if if_modified_since is None else _seconds(if_modified_since)
    return since is not None and modified <= since


def _seconds(date: str) -> int | None:
    try:
        return round(parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None

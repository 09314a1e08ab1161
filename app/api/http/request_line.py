"""Forms of a request that every server must understand (RFC 9110 and 9112): HEAD, and whole addresses."""

import re

from litestar.types import HTTPScope

_ORIGIN = re.compile(r"https?://[^/]*(/.*)?", re.IGNORECASE | re.DOTALL)
_ALLOW = b"allow"


def as_answered(scope: HTTPScope) -> HTTPScope:
    """Return the request as the routes answer it.

    HEAD is GET, whose body nobody sends; `GET http://host/path`, as proxies send it, is `GET /path`.
    """
    answered = scope.copy()
    if scope["method"] == "HEAD":
        answered["method"] = "GET"
    if whole := _ORIGIN.fullmatch(scope["path"]):
        answered["path"] = whole[1] or "/"
        raw = _ORIGIN.sub(r"\1", scope["raw_path"].decode("latin-1"))
        answered["raw_path"] = (raw or "/").encode("latin-1")
    return answered


def name_head(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return a header of a response, with HEAD in `Allow` if that has GET."""
    name, value = header
    methods = value.decode().split(", ") if name.lower() == _ALLOW else []
    return (name, ", ".join(sorted({*methods, "HEAD"})).encode()) if "GET" in methods else header

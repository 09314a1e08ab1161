"""Decide who may send requests.

If keys are configured, every client needs one, because a proxy on this machine gives each client a loopback
address. A page of this service may have a cookie in its place, which a browser sends by itself, so another
page must not be able to use it. Without keys, or with VA_TRUST_LOOPBACK, loopback clients need none. Then
three ways to misuse that are closed: a proxy on this machine (a request with forwarding headers counts as
remote), a web page whose name resolves to 127.0.0.1 (DNS rebinding: the Host must be a loopback name), and a
web page of another origin (which may only lead to an answer in a tab).
"""

from hashlib import sha256
from hmac import compare_digest
from time import time
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.types import HTTPScope
from msgspec import Struct

from .addresses import is_loopback
from .origins import READING, check_local_page, check_page, check_session_page
from .problems import FORBIDDEN, KEY_NEEDED, ProblemError
from .sessions import find_session, has_cookie

AnyConnection = ASGIConnection[BaseRouteHandler, Any, Any, State]

_FORWARDED = frozenset(
    [
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"cf-connecting-ip",
        b"true-client-ip",
    ]
)
"""Headers that proxies add, besides all that begin with `x-forwarded-`."""
_HEALTH = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
_OPEN = ("", "/docs", "/openapi.json", "/session")
"""What a browser asks for before it has a key."""


class Caller(Struct, frozen=True):
    """Who sends a request: `probe`, `local`, `anonymous` (open pages), `key:` or `viewer:` and a hash of it.

    `session_end`: when the session ends that stands for the key, in seconds since 1970.
    """

    name: str
    session_end: int | None = None


def admit(
    scope: HTTPScope,
    api_keys: tuple[str, ...],
    *,
    viewer_keys: tuple[str, ...] = (),
    trust_loopback: bool,
    variable: str = "VA_API_KEYS",
    has_sessions: bool = True,
    public_url: str = "",
) -> Caller:
    """Return who sends the request.

    `variable` is the setting that holds the keys. With `has_sessions`, a cookie is good in place of a key.

    Raises ProblemError: 401 if a key is missing or wrong, 403 if no key would help.
    """
    if scope["path"] in _HEALTH:
        return Caller("probe")
    headers = dict(scope["headers"])
    key = _bearer(headers.get(b"authorization", b""))
    if api_keys and key is not None:
        return Caller(check_key(key, api_keys, viewer_keys, variable))
    keys = (*api_keys, *viewer_keys) if has_sessions else ()
    if (session := find_session(scope["headers"], keys, time())) is not None:
        check_session_page(scope, headers, public_url)
        name = check_key(session.key.encode(), api_keys, viewer_keys, variable)
        return Caller(name, session.expires_at)
    if (trust_loopback or not api_keys) and _is_local(scope, headers):
        check_local_page(scope, headers)
        return Caller("local")
    if not api_keys:
        detail = (
            f"Without API keys the service answers only clients on its own machine. Set {variable}, restart "
            "the service, and send one of the keys as `Authorization: Bearer …`."
        )
        raise ProblemError(FORBIDDEN, detail)
    # A browser cannot send a key when it opens a page. The pages are public; the routes they call are not.
    path = scope["path"].rstrip("/")
    if path in _OPEN or path.startswith(("/docs/", "/pages/")):
        if scope["method"] not in READING:
            check_page(scope, headers, public_url)
        return Caller("anonymous")
    if keys and has_cookie(scope["headers"]):
        raise _key_needed(f"The session has ended. Log in again, or send a key of {variable}.")
    raise _key_needed(f"Send a key of {variable} as `Authorization: Bearer …`.")


async def check_access(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of all routes: a viewer's key may read what is not for administrators only.

    It awaits nothing, but Litestar calls other functions in a thread, for which a request waits behind runs.

    Raises:
        ProblemError: it may not (403)
    """
    caller = connection.scope.get("auth")
    if isinstance(caller, str) and caller.startswith("viewer:") and is_for_admins(handler):
        detail = "A key of VA_VIEWER_KEYS may only look. Send one of VA_API_KEYS."
        raise ProblemError(FORBIDDEN, detail)


def is_for_admins(handler: BaseRouteHandler) -> bool:
    """Return whether a route changes or costs something, or tells more than viewers may know."""
    methods: set[str] = getattr(handler, "http_methods", set())
    doc = handler.opt.get("doc")
    if doc is not None and doc.open:
        return False
    return not methods <= READING or (doc is not None and doc.for_admins)


def check_key(key: bytes, api_keys: tuple[str, ...], viewer_keys: tuple[str, ...], variable: str) -> str:
    """Return the name of a key's holder. Raises ProblemError (401) if the key is wrong."""
    # Compares hashes of all keys, so that the time tells neither a key's length nor which one is similar.
    digest = sha256(key).digest()
    matches, views = [
        [compare_digest(digest, sha256(known.encode()).digest()) for known in keys]
        for keys in (api_keys, viewer_keys)
    ]
    if not any(matches) and not any(views):
        raise _key_needed(f"The API key is not valid. Send one of the keys in {variable}.")
    return f"{'key' if any(matches) else 'viewer'}:{digest.hex()[:16]}"


def _key_needed(detail: str) -> ProblemError:
    return ProblemError(KEY_NEEDED, detail, headers={"WWW-Authenticate": "Bearer"})


def _bearer(header: bytes) -> bytes | None:
    scheme, _, key = header.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else None


def _is_local(scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    client = scope.get("client")
    return client is not None and is_loopback(client[0]) and not any(map(_is_proxy_header, headers))


def _is_proxy_header(header: bytes) -> bool:
    return header in _FORWARDED or header.startswith(b"x-forwarded-")

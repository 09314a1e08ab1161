"""Decide who may send requests.

If keys are configured, every client needs one, because a proxy on this machine gives each client a
loopback address. Without keys, or with VA_TRUST_LOOPBACK, loopback clients need none. Then three ways to
misuse that are closed: a proxy on this machine (a request with forwarding headers counts as remote), a web
page whose name resolves to 127.0.0.1 (DNS rebinding: the Host must be a loopback name), and a web page of
another origin (which may only lead to an answer in a tab).
"""

from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler
from litestar.types import HTTPScope

from .problems import FORBIDDEN, KEY_NEEDED, ProblemError

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
_OWN_SITES = (b"same-origin", b"none")  # none: typed by the user, or sent by a program
_HEALTH = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
_READING = {"GET", "HEAD", "OPTIONS"}
_CACHE_SIZE = 100  # entries; a Host may be 64 KiB long


def admit(
    scope: HTTPScope,
    api_keys: tuple[str, ...],
    *,
    viewer_keys: tuple[str, ...] = (),
    trust_loopback: bool,
    variable: str = "VA_API_KEYS",
) -> str:
    """Return the caller's name: `probe`, `local`, `anonymous` (open pages), `key:` or `viewer:` and a hash.

    `variable` is the setting that holds the keys. The hash is of the key.

    Raises ProblemError: 401 if a key is missing or wrong, 403 if no key would help.
    """
    if scope["path"] in _HEALTH:
        return "probe"
    headers = dict(scope["headers"])
    key = _bearer(headers.get(b"authorization", b""))
    if api_keys and key is not None:
        return _check_key(key, api_keys, viewer_keys, variable)
    if (trust_loopback or not api_keys) and _is_local(scope, headers):
        _check_browser(scope, headers)
        return "local"
    if not api_keys:
        detail = (
            f"Without API keys the service answers only clients on its own machine. Set {variable}, restart "
            "the service, and send one of the keys as `Authorization: Bearer …`."
        )
        raise ProblemError(FORBIDDEN, detail)
    # A browser cannot send a key when it opens a page. The pages are public; the routes they call are not.
    path = scope["path"].rstrip("/")
    if path in ("", "/docs", "/openapi.json") or path.startswith("/docs/"):
        return "anonymous"
    raise _key_needed(f"Send a key of {variable} as `Authorization: Bearer …`.")


def check_access(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of all routes: a viewer's key may read what is not for administrators only.

    Raises ProblemError (403) if it may not.
    """
    caller = connection.scope.get("auth")
    if isinstance(caller, str) and caller.startswith("viewer:") and is_for_admins(handler):
        detail = "A key of VA_VIEWER_KEYS may only look. Send one of VA_API_KEYS."
        raise ProblemError(FORBIDDEN, detail)


def is_for_admins(handler: BaseRouteHandler) -> bool:
    """Return whether a route changes or costs something, or tells more than viewers may know."""
    methods: set[str] = getattr(handler, "http_methods", set())
    doc = handler.opt.get("doc")
    return not methods <= _READING or (doc is not None and doc.for_admins)


def network_of(scope: HTTPScope) -> str:
    """Return whom a request without a key counts for: the client's IPv4 address, or its IPv6 /64 network."""
    client = scope["client"]
    address = None if client is None else _address(client[0])
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _bearer(header: bytes) -> bytes | None:
    scheme, _, key = header.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else None


def _check_key(key: bytes, api_keys: tuple[str, ...], viewer_keys: tuple[str, ...], variable: str) -> str:
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


def _is_local(scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    client = scope.get("client")
    return client is not None and _is_loopback(client[0]) and not any(map(_is_proxy_header, headers))


def _is_proxy_header(header: bytes) -> bool:
    return header in _FORWARDED or header.startswith(b"x-forwarded-")


def _check_browser(scope: HTTPScope, headers: dict[bytes, bytes]) -> None:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    name = _host_name(host)
    if name != "localhost" and not name.endswith(".localhost") and not _is_loopback(name):
        detail = (
            f"Without an API key the Host must be localhost or 127.0.0.1, not {host or 'empty'}. Open the "
            "service at one of these, or send a key."
        )
        raise ProblemError(FORBIDDEN, detail)
    origin = headers.get(b"origin")
    is_foreign = origin is not None and origin.decode("latin-1").lower().partition("://")[2] != host
    if is_foreign or (
        headers.get(b"sec-fetch-site", b"none") not in _OWN_SITES and not _opens_tab(scope, headers)
    ):
        detail = "A page of another origin must send an API key with this request."
        raise ProblemError(FORBIDDEN, detail)


def _opens_tab(scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    """Return whether a browser follows a link to an answer that ends; other pages cannot read it."""
    return (
        scope["method"] == "GET"
        and scope["path"].rstrip("/") != "/stream"
        and not scope["path"].rstrip("/").endswith("/live.mjpeg")
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )


@lru_cache(_CACHE_SIZE)
def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_loopback(text: str) -> bool:
    address = _address(text)
    return address is not None and address.is_loopback


@lru_cache(_CACHE_SIZE)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip

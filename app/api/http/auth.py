"""Decide who may send requests.

Loopback clients need no key. All others need one, and are refused if no keys are configured. Three ways to
misuse the trust in loopback are closed: a proxy on this machine (a request with forwarding headers counts as
remote), a web page whose name resolves to 127.0.0.1 (DNS rebinding: the Host must be a loopback name), and a
web page that posts across sites (its Origin must be this host).
"""

from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from litestar.types import HTTPScope

from .problems import FORBIDDEN, KEY_NEEDED, ProblemError

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
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_CACHE_SIZE = 100  # entries; a Host may be 64 KiB long


def admit(scope: HTTPScope, api_keys: tuple[str, ...]) -> str:
    """Return the caller's name: `local`, `anonymous` (open pages), or `key:` and a hash of the key.

    Raises ProblemError: 401 if a key is missing or wrong, 403 if no key would help.
    """
    headers = dict(scope["headers"])
    if scope["path"].startswith("/health/"):
        return "local" if _is_local(scope, headers) else "anonymous"
    key = _bearer(headers.get(b"authorization", b""))
    if api_keys and key is not None:
        return _check_key(key, api_keys)
    if _is_local(scope, headers):
        _check_browser(scope["method"], headers)
        return "local"
    if not api_keys:
        detail = (
            "Without API keys the service answers only clients on its own machine. Set VA_API_KEYS, restart "
            "the service, and send one of the keys as `Authorization: Bearer …`."
        )
        raise ProblemError(FORBIDDEN, detail)
    # A browser cannot send a key when it opens a page. The pages are public; the routes they call are not.
    if scope["path"].rstrip("/") in ("", "/docs") or scope["path"].startswith("/docs/"):
        return "anonymous"
    raise _key_needed("Send an API key as `Authorization: Bearer …`.")


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


def _check_key(key: bytes, api_keys: tuple[str, ...]) -> str:
    # Compares hashes of all keys, so that the time tells neither a key's length nor which one is similar.
    digest = sha256(key).digest()
    matches = [compare_digest(digest, sha256(known.encode()).digest()) for known in api_keys]
    if not any(matches):
        raise _key_needed("The API key is not valid. Send one of the keys in VA_API_KEYS.")
    return f"key:{digest.hex()[:16]}"


def _key_needed(detail: str) -> ProblemError:
    return ProblemError(KEY_NEEDED, detail, headers={"WWW-Authenticate": "Bearer"})


def _is_local(scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    client = scope.get("client")
    return client is not None and _is_loopback(client[0]) and not any(map(_is_proxy_header, headers))


def _is_proxy_header(header: bytes) -> bool:
    return header in _FORWARDED or header.startswith(b"x-forwarded-")


def _check_browser(method: str, headers: dict[bytes, bytes]) -> None:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    name = _host_name(host)
    if name != "localhost" and not name.endswith(".localhost") and not _is_loopback(name):
        detail = (
            f"Without an API key the Host must be localhost or 127.0.0.1, not {host or 'empty'}. Open the "
            "service at one of these, or send a key."
        )
        raise ProblemError(FORBIDDEN, detail)
    origin = headers.get(b"origin")
    if (
        origin is not None
        and method not in _SAFE_METHODS
        and origin.decode("latin-1").lower().partition("://")[2] != host
    ):
        raise ProblemError(FORBIDDEN, "A page of another site must send an API key with this request.")


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

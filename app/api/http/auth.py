"""Who may come in.

Loopback clients need no key; everybody else does, and without configured keys is refused. Three ways of
borrowing loopback's trust are closed: a proxy on this machine (its forwarding headers make a request remote),
a web page whose name was pointed at 127.0.0.1 (the Host must be loopback's), and a web page that posts
across sites (its Origin must be this host).
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
"""What proxies add, beside everything that begins with `x-forwarded-`."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_REMEMBERED = 100  # texts read last; a Host may be 64 KiB long


def admit(scope: HTTPScope, api_keys: tuple[str, ...]) -> str:
    """The caller's name: `local`, `anonymous` (for open pages), or `key:` and a part of the key's hash.

    Raises ProblemError: 401 where a key is missing or wrong, 403 where none would help.
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
            "Without API keys this service answers only its own machine. Set VA_API_KEYS, restart it, and "
            "send one of the keys as `Authorization: Bearer …`."
        )
        raise ProblemError(FORBIDDEN, detail)
    # A browser cannot send a key with the page it opens; what the pages say is public, what they call is not.
    if scope["path"].rstrip("/") in ("", "/docs") or scope["path"].startswith("/docs/"):
        return "anonymous"
    raise _key_needed("Send an API key as `Authorization: Bearer …`.")


def network_of(scope: HTTPScope) -> str:
    """Whom to count a request for that shows no key: the client's address, of IPv6 its network's half."""
    client = scope["client"]
    address = None if client is None else _address(client[0])
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _bearer(header: bytes) -> bytes | None:
    scheme, _, key = header.partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else None


def _check_key(key: bytes, api_keys: tuple[str, ...]) -> str:
    # Of one length, and all of them: the time tells neither how long a key is nor which one is near.
    digest = sha256(key).digest()
    matches = [compare_digest(digest, sha256(known.encode()).digest()) for known in api_keys]
    if not any(matches):
        raise _key_needed("The API key is not one of this service's. Check VA_API_KEYS.")
    return f"key:{digest.hex()[:16]}"


def _key_needed(detail: str) -> ProblemError:
    return ProblemError(KEY_NEEDED, detail, headers={"WWW-Authenticate": "Bearer"})


def _is_local(scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    client = scope.get("client")
    return client is not None and _is_loopback(client[0]) and not any(map(_is_of_proxies, headers))


def _is_of_proxies(header: bytes) -> bool:
    return header in _FORWARDED or header.startswith(b"x-forwarded-")


def _check_browser(method: str, headers: dict[bytes, bytes]) -> None:
    host = headers.get(b"host", b"").decode("latin-1").lower()
    name = _host_name(host)
    if name != "localhost" and not name.endswith(".localhost") and not _is_loopback(name):
        detail = (
            f"Without an API key the Host must be localhost or 127.0.0.1, not {host or 'empty'}. Open the "
            "service under one of these, or send a key."
        )
        raise ProblemError(FORBIDDEN, detail)
    origin = headers.get(b"origin")
    if (
        origin is not None
        and method not in _SAFE
        and origin.decode("latin-1").lower().partition("://")[2] != host
    ):
        raise ProblemError(FORBIDDEN, "A page of another site may not do this without an API key.")


@lru_cache(_REMEMBERED)
def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_loopback(text: str) -> bool:
    address = _address(text)
    return address is not None and address.is_loopback


@lru_cache(_REMEMBERED)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip

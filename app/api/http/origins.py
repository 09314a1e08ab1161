"""Check which web page a request comes from, as browsers tell in `Origin` and `Sec-Fetch-Site`."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from litestar.types import HTTPScope

from .addresses import is_loopback
from .problems import FORBIDDEN, ProblemError

READING = frozenset(["GET", "HEAD", "OPTIONS"])
"""Methods that change nothing."""

_OWN_SITES = (b"same-origin", b"none")  # none: typed by the user, or sent by a program
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^/?#@:\s\\\[\]]+)(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CACHE_SIZE = 100  # entries; a Host may be 64 KiB long
_MAX_QUOTED = 100  # characters of a client's input in an error


def check_local_page(scope: HTTPScope, headers: dict[bytes, bytes]) -> None:
    """Refuse what a web page makes a browser on this machine send to a service that asks for no key.

    Raises ProblemError (403): the Host is no loopback name (DNS rebinding), or the page is foreign.
    """
    host = _text(headers, b"host")
    name = _host_name(host)
    if name != "localhost" and not name.endswith(".localhost") and not is_loopback(name):
        detail = (
            "Without an API key the Host must be localhost or 127.0.0.1, not"
            f" {host[:_MAX_QUOTED] or 'empty'}. Open the service at one of these, or send a key."
        )
        raise ProblemError(FORBIDDEN, detail)
    check_page(scope, headers)


def check_page(scope: HTTPScope, headers: dict[bytes, bytes], public_url: str = "") -> None:
    """Refuse what a page of another origin makes a browser send.

    Raises ProblemError (403).
    """
    is_foreign = b"origin" in headers and not _is_own(scope, headers, public_url)
    if is_foreign or (
        headers.get(b"sec-fetch-site", b"none") not in _OWN_SITES and not _opens_tab(scope, headers)
    ):
        detail = "A page of another origin must send an API key with this request."
        if is_foreign:
            origin, host = _text(headers, b"origin")[:_MAX_QUOTED], _text(headers, b"host")[:_MAX_QUOTED]
            detail += (
                f" This one comes from {origin}, and the service is at {public_url or host}."
                " If browsers use another address, set VA_PUBLIC_URL to it."
            )
        raise ProblemError(FORBIDDEN, detail)


def check_session_page(scope: HTTPScope, headers: dict[bytes, bytes], public_url: str) -> None:
    """Refuse what does not come from a page of this service, because a browser sends the cookie by itself.

    Raises ProblemError (403).
    """
    check_page(scope, headers, public_url)
    if (
        scope["method"] not in READING
        and b"origin" not in headers
        and headers.get(b"sec-fetch-site") != b"same-origin"
    ):
        detail = (
            "A request that changes something must say in `Origin` which page sends it, as browsers do, if it"
            " has a session and no key. A program sends a key as `Authorization: Bearer …`."
        )
        raise ProblemError(FORBIDDEN, detail)


def _is_own(scope: HTTPScope, headers: dict[bytes, bytes], public_url: str) -> bool:
    """Return whether `Origin` is that of VA_PUBLIC_URL, or of the host that the request names.

    A page of https is also accepted if the request came by http, because a proxy may have ended TLS. A page
    of http is refused if browsers use https, because whoever is on the way could have changed it.
    """
    if (origin := _parse(_text(headers, b"origin"))) is None:
        return False
    scheme, name, _ = origin
    public = _parse("/".join(public_url.lower().split("/")[:3]))
    if origin == public:
        return True
    if public is not None and public[:2] == ("https", name) and scheme == "http":
        return False
    return scheme in ("https", scope["scheme"]) and origin == _parse(f"{scheme}://{_text(headers, b'host')}")


def _opens_tab(scope: HTTPScope, headers: dict[bytes, bytes]) -> bool:
    """Return whether a browser follows a link to an answer that ends; other pages cannot read it."""
    return (
        scope["method"] == "GET"
        and scope["path"].rstrip("/") != "/stream"
        and not scope["path"].rstrip("/").endswith("/live.mjpeg")
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").lower()


@lru_cache(_CACHE_SIZE)
def _parse(origin: str) -> tuple[str, str, int] | None:
    """Return the scheme, host and port of an origin in lower case; None if it is malformed or null."""
    if (found := _ORIGIN.fullmatch(origin)) is None:
        return None
    scheme, name, port = found.groups()
    return scheme, name, int(port) if port else _DEFAULT_PORTS[scheme]


@lru_cache(_CACHE_SIZE)
def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""

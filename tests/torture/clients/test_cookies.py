"""Hostile cookies, and pages that make a browser send a good one, over the wire.

Each guard is also taken out, to see that the same verifier notices.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from time import time

import httpx
import pytest

from app.api import ApiOptions, create_app
from app.api.http import auth
from app.api.http.sessions import COOKIE, LIFETIME, KeySession, make_cookie
from tests.api.conftest import listening
from tests.torture.battery import Battery

ROW = 10
KEY, VIEWER, UNKNOWN = "a-long-secret-key", "a-key-of-a-viewer", "a-key-that-was-removed"
NAME = COOKIE.encode()


def cookie_of(key: str, ends_in: float = LIFETIME) -> bytes:
    return make_cookie(KeySession(key, int(time() + ends_in))).encode()


def hostile_cookies() -> Iterator[bytes]:
    """Yield headers `Cookie` that are none of a session, though some are near one."""
    good = cookie_of(KEY)
    end, _, mac = good.partition(b".")
    other_mac = cookie_of(UNKNOWN).partition(b".")[2]
    for value in (
        b"", b".", good[1:], good + b"0", good + b" x", b" " + mac, end, end + b".", end + b".." + mac,
        end + b"." + b"0" * 64, end + b"." + mac.upper(), end + b"." + other_mac, end + b"." + mac[::-1],
        b"%d.%s" % (int(end) + 1, mac), b"%d.%s" % (int(end) - 1, mac), b"9" * 12 + b"." + mac,
        b"0" + good, b"+" + good, b"-" + good, b"9" * 5000 + b"." + mac, end + b"e9." + mac,
        b'"' + good + b'"', good.replace(b".", b"%2e"), good.replace(b".", b","), mac + b"." + end,
        "²".encode("latin-1") + good, b"\xff" * 77, "１".encode() + good[1:], b"a" * 60_000,
        cookie_of(UNKNOWN), cookie_of(KEY, -1), cookie_of(VIEWER, -LIFETIME), KEY.encode(),
    ):  # fmt: skip
        yield NAME + b"=" + value
    yield from (NAME + b"=" + good[:length] for length in range(len(good)))
    yield from (NAME + other + b"=" + good for other in (b"2", b" ", b"\t", b"%20"))
    yield from (other + b"=" + good for other in (b"", b"$" + NAME, NAME.upper(), b"__Host-" + NAME))
    yield b"; ".join(b"%s=%d.%s" % (NAME, int(end) + more, mac) for more in range(1, 400))
    yield b";" * 30_000 + NAME
    yield b"a=b; " * 5000 + NAME + b"=" + good[:-1]


async def show(cookies: Iterable[bytes]) -> Counter[int]:
    """Ask with each cookie, each from an address of its own. Returns how often each status came."""
    app = create_app(ApiOptions(version="1", api_keys=(KEY,), viewer_keys=(VIEWER,)))
    statuses: Counter[int] = Counter()
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as http:
        for number, cookie in enumerate(cookies):
            address = f"203.0.{number >> 8}.{number & 255}".encode()
            headers = [(b"cookie", cookie), (b"x-forwarded-for", address)]
            statuses[(await http.get("/detectors", headers=headers)).status_code] += 1
    return statuses


async def test_only_a_sessions_own_cookie_is_let_in(battery: Battery) -> None:
    good = [cookie_of(KEY), cookie_of(VIEWER), cookie_of(KEY, 60)]
    beside = [NAME + b"=x; " + NAME + b"=" + good[0], b"a=b;" + NAME + b"=" + good[1] + b";c=d"]
    assert await show([*(NAME + b"=" + value for value in good), *beside]) == {200: 5}
    statuses = await show(hostile_cookies())
    assert set(statuses) <= {400, 401, 431}
    assert statuses[401] > 100
    what = "cookies: forged, truncated, expired, of another key, huge, many, not ASCII"
    battery.passed(ROW, what, f"{statuses.total()} requests", "0 let in")


async def test_cookies_that_are_not_compared_would_be_noticed(
    battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.http.sessions.hmac.compare_digest", lambda _made, _given: True)
    statuses = await show(hostile_cookies())
    assert statuses[200]
    battery.unguarded(ROW, "comparing the HMAC", f"{statuses.total()} requests", f"{statuses[200]} let in")


HOST = "video.example.org"
SITES = (
    "null", "", "*", "https://evil.example", f"https://{HOST}.evil.example", f"https://evil.{HOST}",
    f"https://evil{HOST}", f"https://{HOST}:8443", f"https://{HOST}:4430", f"https://{HOST}/",
    f"https://{HOST}/a",
    f"https://{HOST}?", f"https://{HOST}#", f"https://a@{HOST}", f"https://{HOST}@evil.example",
    f"//{HOST}", HOST,
    f"http://{HOST}", f"HTTP://{HOST.upper()}", f"ftp://{HOST}", f"file://{HOST}", f"https://{HOST}\\",
    f"https://{HOST} https://evil.example", f"https://{HOST},https://evil.example", f"https://{HOST}:99999999",
    f"https://{HOST}:", "https://", "https://[", "https://[::1]", f"https://{HOST}.", "https://127.0.0.1",
)  # fmt: skip
PAGES = (
    *({"origin": site} for site in SITES),
    {},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "same-site", "origin": f"https://{HOST}"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},
)
METHODS = ("POST", "PATCH", "DELETE")
PATHS = ("/scenarios/00000000-0000-0000-0000-000000000000/stop", "/session")


async def browse(pages: Iterable[dict[str, str]]) -> Counter[int]:
    """Write with a good cookie from each page, in each way. Returns how often each status came."""
    options = ApiOptions(version="1", api_keys=(KEY,), rate_limit=10_000, public_url=f"https://{HOST}/video")
    statuses: Counter[int] = Counter()
    cookie = {"host": HOST, "cookie": f"{COOKIE}={cookie_of(KEY).decode()}", "x-forwarded-proto": "https"}
    async with listening(create_app(options)) as url, httpx.AsyncClient(base_url=url) as http:
        for page, method, path in product(pages, METHODS, PATHS):
            statuses[(await http.request(method, path, headers=cookie | page)).status_code] += 1
    return statuses


async def test_no_other_page_can_use_a_cookie(battery: Battery) -> None:
    own = [{"origin": f"https://{HOST}"}, {"origin": f"HTTPS://{HOST.upper()}:443"}]
    own.append({"sec-fetch-site": "same-origin"})
    assert not (await browse(own)).keys() & {401, 403}
    statuses = await browse(PAGES)
    assert statuses.keys() == {403}
    what = "pages of other origins that make a browser write with its cookie"
    battery.passed(ROW, what, f"{statuses.total()} requests", "0 admitted")


async def test_pages_that_are_not_looked_at_would_be_noticed(
    battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "check_session_page", lambda *_: None)
    statuses = await browse(PAGES)
    assert 403 not in statuses
    tried = f"{statuses.total()} requests"
    battery.unguarded(ROW, "checks of a session's page", tried, f"{statuses.total()} admitted")

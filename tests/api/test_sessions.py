"""Logging in from a page: a key becomes a cookie, which only this service's own pages can use."""

import asyncio
import hmac
from datetime import UTC, datetime, timedelta
from time import time
from typing import cast

import httpx
import pytest
from litestar import Litestar
from litestar.types import Receive, Scope, Send

from app.api import ApiOptions, MountedApp, create_app
from app.api.http import middleware
from app.api.http.middleware import RequestMiddleware
from app.api.http.sessions import COOKIE, LIFETIME, KeySession, make_cookie
from app.inference.application import InferenceApp
from app.service import Service
from app.settings import load
from tests.api.conftest import listening

KEY, VIEWER, OTHER = "a-long-secret-key", "a-key-of-a-viewer", "another-long-secret-key"
SITE = "https://va.example"
OWN = {"Origin": SITE}
WRITE = "/scenarios/00000000-0000-0000-0000-000000000000/stop"
AWAY = ("203.0.113.7", 40000)


def application(**options: object) -> RequestMiddleware:
    """Return an application without databases: what is admitted and needs them is answered with 503."""
    given = {"version": "1", "api_keys": (OTHER, KEY), "viewer_keys": (VIEWER,)} | options
    return create_app(ApiOptions(**given))  # type: ignore[arg-type]


def browser(
    app: RequestMiddleware, url: str = SITE, client: tuple[str, int] = AWAY, cookie: str = ""
) -> httpx.AsyncClient:
    """Return a client that keeps cookies; its requests have no `Origin` of their own."""
    transport = httpx.ASGITransport(app, client=client)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url=url, cookies={COOKIE: cookie} if cookie else {})


def cookie_of(key: str, ends_in: float = LIFETIME) -> str:
    return make_cookie(KeySession(key, int(time() + ends_in)))


@pytest.mark.parametrize(("key", "access", "changes"), [(KEY, "admin", 503), (VIEWER, "viewer", 403)])
async def test_a_key_becomes_a_cookie_that_every_process_with_the_key_accepts(
    key: str, access: str, changes: int
) -> None:
    async with browser(application()) as http:
        answer = await http.post("/session", json={"key": key}, headers=OWN)
        assert answer.status_code == 200
        told = answer.json()
        assert (told["access"], told["needs_key"]) == (access, True)
        left = datetime.fromisoformat(told["expires_at"]) - datetime.now(UTC)
        assert timedelta(hours=11, minutes=55) < left <= timedelta(hours=12)
        assert (await http.get("/session")).json() == told
        cookie = http.cookies[COOKIE]
    async with browser(application(), cookie=cookie) as http:
        assert (await http.get("/session")).json() == told
        assert (await http.get("/detectors")).status_code == 200
        assert (await http.post(WRITE, headers=OWN)).status_code == changes
    async with browser(application(api_keys=(OTHER,), viewer_keys=()), cookie=cookie) as http:
        assert (await http.get("/detectors")).status_code == 401


@pytest.mark.parametrize(
    ("url", "options", "origin", "attributes"),
    [
        ("http://va.example", {}, None, {"Path=/"}),
        ("https://va.example", {}, None, {"Path=/", "Secure"}),
        # A proxy ended TLS, and does not say so: the browser does.
        ("http://va.example", {}, "https://va.example", {"Path=/", "Secure"}),
        ("http://127.0.0.1:8000", {"public_url": SITE}, None, {"Path=/", "Secure"}),
        # On the service's own machine, beside the proxy: a browser would drop a Secure cookie.
        ("http://127.0.0.1:8000", {"public_url": SITE}, "http://127.0.0.1:8000", {"Path=/"}),
        (
            "http://127.0.0.1:8000",
            {"public_url": f"{SITE}/video", "path_prefix": "/video"},
            SITE,
            {"Path=/video", "Secure"},
        ),
    ],
)
async def test_no_script_no_other_site_and_no_other_path_gets_the_cookie(
    url: str, options: dict[str, object], origin: str | None, attributes: set[str]
) -> None:
    headers = {"Origin": origin} if origin else {}
    async with browser(application(**options), url) as http:
        entered = await http.post("/session", json={"key": KEY}, headers=headers)
        http.cookies.clear()
        left = await http.delete("/session", headers=headers)
        for answer, seconds in ((entered, 43200), (left, 0)):
            assert answer.status_code in (200, 204), answer.text
            value, *given = answer.headers["set-cookie"].split("; ")
            assert value.startswith(f"{COOKIE}=")
            assert set(given) == {"HttpOnly", "SameSite=strict", f"Max-Age={seconds}"} | attributes
            assert answer.headers["cache-control"] == "no-store"


async def test_who_logs_out_is_out() -> None:
    async with browser(application()) as http:
        await http.post("/session", json={"key": KEY}, headers=OWN)
        assert (await http.get("/detectors")).status_code == 200
        assert (await http.delete("/session", headers=OWN)).status_code == 204
        assert (await http.get("/detectors")).status_code == 401
        assert (await http.get("/session")).json() == {
            "access": "none",
            "needs_key": True,
            "expires_at": None,
        }


async def test_a_copy_of_a_cookie_is_valid_until_it_ends_although_its_owner_logged_out() -> None:
    """Nothing is stored of sessions: SECURITY.md says so, and how to end them all."""
    service = application()
    async with browser(service) as http:
        await http.post("/session", json={"key": KEY}, headers=OWN)
        copy = http.cookies[COOKIE]
        await http.delete("/session", headers=OWN)
        assert (await http.get("/detectors")).status_code == 401
    async with browser(service, cookie=copy) as http:
        assert (await http.get("/detectors")).status_code == 200
    async with browser(service, cookie=cookie_of(KEY, ends_in=-1)) as http:
        assert (await http.get("/detectors")).status_code == 401


def test_who_has_a_cookie_can_try_keys_without_the_service() -> None:
    """So keys must be made by chance."""
    expires_at, _, code = cookie_of(KEY).partition(".")
    codes = {
        key: hmac.digest(key.encode(), f"videoanalysis session until {expires_at}".encode(), "sha256").hex()
        for key in (VIEWER, KEY)
    }
    assert [key for key, made in codes.items() if made == code] == [KEY]


async def test_a_client_is_told_what_it_may_do() -> None:
    local = ("127.0.0.1", 1)
    for app, url, client, key, access, needs_key in (
        (application(), SITE, AWAY, KEY, "admin", True),
        (application(), SITE, AWAY, VIEWER, "viewer", True),
        (application(), SITE, AWAY, None, "none", True),
        (application(), "http://localhost:8000", local, None, "none", True),
        (application(trust_loopback=True), "http://localhost:8000", local, None, "admin", False),
        (application(api_keys=(), viewer_keys=()), "http://localhost:8000", local, None, "admin", False),
    ):
        async with browser(app, url, client) as http:
            answer = await http.get("/session", headers={"Authorization": f"Bearer {key}"} if key else {})
        assert answer.json() == {"access": access, "needs_key": needs_key, "expires_at": None}


async def test_wrong_keys_count_as_refusals_and_a_right_one_passes() -> None:
    async with browser(application()) as http:
        answers = [await http.post("/session", json={"key": f"wrong {n}"}, headers=OWN) for n in range(22)]
        assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 2
        assert answers[0].json()["detail"] == "The API key is not valid. Send one of the keys in VA_API_KEYS."
        assert "set-cookie" not in answers[0].headers
        assert (await http.get("/detectors")).status_code == 429
        assert (await http.post("/session", json={"key": KEY}, headers=OWN)).status_code == 200


async def test_a_service_without_keys_has_nothing_to_log_in_to() -> None:
    app = application(api_keys=(), viewer_keys=())
    async with browser(app, "http://localhost:8000", ("127.0.0.1", 1)) as http:
        answer = await http.post("/session", json={"key": KEY})
        assert (answer.status_code, answer.json()["field"]) == (422, "key")
        assert "has no keys" in answer.json()["detail"]


async def test_a_session_that_has_ended_is_told_from_a_missing_key() -> None:
    async with browser(application(), cookie=cookie_of(KEY, -1)) as http:
        refused = await http.get("/detectors")
        assert refused.status_code == 401
        assert refused.json()["detail"].startswith("The session has ended. Log in again")
        assert (await http.get("/session")).json()["access"] == "none"  # the page can ask for a key
        assert (await http.get("/docs")).status_code == 200
        assert (await http.post("/session", json={"key": KEY}, headers=OWN)).status_code == 200


async def test_a_key_in_the_header_goes_before_a_cookie() -> None:
    as_admin = {"Authorization": f"Bearer {KEY}", "Origin": "https://evil.example"}
    async with browser(application(), cookie=cookie_of(VIEWER)) as http:
        assert (await http.post(WRITE, headers=as_admin)).status_code == 503
        wrong = {"Authorization": "Bearer wrong"}
        assert (await http.get("/detectors", headers=wrong)).status_code == 401


async def test_a_session_has_the_limits_of_its_key() -> None:
    async with browser(application(rate_limit=1.0), cookie=cookie_of(KEY)) as http:
        answers = [await http.get("/detectors") for _ in range(10)]
        bearer = {"Authorization": f"Bearer {KEY}"}
        answers.append(await http.get("/detectors", headers=bearer))
    assert [answer.status_code for answer in answers][:2] == [200, 200]
    assert answers[-1].status_code == 429


BEHIND = {"public_url": "https://va.example/video", "path_prefix": "/video"}


@pytest.mark.parametrize(
    ("url", "options", "headers", "is_admitted"),
    [
        ("https://va.example", {}, {"Origin": "https://va.example"}, True),
        ("https://va.example", {}, {"Origin": "HTTPS://VA.example:443"}, True),
        ("http://va.example", {}, {"Origin": "https://va.example"}, True),  # a proxy ended TLS
        ("http://va.example:8000", {}, {"Origin": "http://va.example:8000"}, True),
        ("http://[2001:db8::1]:8000", {}, {"Origin": "http://[2001:db8::1]:8000"}, True),
        ("https://va.example", {}, {"Sec-Fetch-Site": "same-origin"}, True),
        ("http://10.0.0.5:8000", BEHIND, {"Origin": "https://va.example"}, True),  # the Host is the proxy's
        # Another port of the same host, beside the proxy.
        (
            "http://va.example:8000",
            {"public_url": "http://va.example"},
            {"Origin": "http://va.example:8000"},
            True,
        ),
        ("http://va.example:8000", BEHIND, {"Origin": "http://va.example:8000"}, False),
        ("https://va.example", {}, {}, False),
        ("https://va.example", {}, {"Sec-Fetch-Site": "none"}, False),
        ("https://va.example", {}, {"Origin": "null"}, False),
        ("https://va.example", {}, {"Origin": ""}, False),
        ("https://va.example", {}, {"Origin": "https://evil.example"}, False),
        ("https://va.example", {}, {"Origin": "https://va.example.evil.example"}, False),
        ("https://va.example", {}, {"Origin": "https://sub.va.example"}, False),
        ("https://va.example", {}, {"Origin": "http://va.example"}, False),
        ("https://va.example", {}, {"Origin": "https://va.example:8443"}, False),
        ("https://va.example", {}, {"Origin": "https://va.example/"}, False),
        ("https://va.example", {}, {"Origin": "https://va.example/page"}, False),
        ("https://va.example", {}, {"Origin": "https://user@va.example"}, False),
        ("https://va.example", {}, {"Origin": "https://va.example https://evil.example"}, False),
        ("https://va.example", {}, {"Origin": "https://va.example", "Sec-Fetch-Site": "same-site"}, False),
        ("http://va.example", BEHIND, {"Origin": "http://va.example"}, False),  # not by https
    ],
)
async def test_only_a_page_of_the_service_can_change_something_with_a_cookie(
    url: str, options: dict[str, object], headers: dict[str, str], is_admitted: bool
) -> None:
    async with browser(application(**options), url, cookie=cookie_of(KEY)) as http:
        answer = await http.post(WRITE, headers=headers)
        login = await http.post("/session", json={"key": KEY}, headers=headers)
    assert (answer.status_code, login.status_code) == ((503, 200) if is_admitted else (403, 403))
    if "Origin" in headers and not is_admitted and "Sec-Fetch-Site" not in headers:
        assert f"This one comes from {headers['Origin']}" in answer.json()["detail"]
        assert "VA_PUBLIC_URL" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Origin": "https://sub.va.example"}, 403),
    ],
)
async def test_only_a_page_of_the_service_can_read_with_a_cookie(
    headers: dict[str, str], status: int
) -> None:
    async with browser(application(), cookie=cookie_of(VIEWER)) as http:
        assert (await http.get("/detectors", headers=headers)).status_code == status


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_another_page_can_log_nobody_in_or_out(headers: dict[str, str]) -> None:
    async with browser(application()) as http:
        for refused in (
            await http.post("/session", json={"key": KEY}, headers=headers),
            await http.delete("/session", headers=headers),
        ):
            assert refused.status_code == 403
            assert "set-cookie" not in refused.headers


async def test_a_cookie_is_good_for_no_inference_server() -> None:
    inference = InferenceApp("1", 2**20)
    mounted = MountedApp("/v2", inference, inference.refuse, (KEY,), "VA_INFERENCE_KEY")
    async with browser(application(mounted=mounted), cookie=cookie_of(KEY)) as http:
        assert (await http.get("/detectors")).status_code == 200
        refused = await http.get("/v2/models/x", headers={"Sec-Fetch-Site": "same-origin"})
        assert refused.status_code == 401


async def test_a_stream_ends_with_the_session_that_opened_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stream(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.Event().wait()

    app = RequestMiddleware(cast("Litestar", stream), ApiOptions(version="1", api_keys=(KEY,)))
    session = KeySession(KEY, int(time() + LIFETIME))
    monkeypatch.setattr(middleware, "time", lambda: session.expires_at - 0.1)
    async with (
        listening(app) as url,
        httpx.AsyncClient(cookies={COOKIE: make_cookie(session)}) as http,
        http.stream("GET", f"{url}/stream", timeout=30) as answer,
    ):
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()


async def test_the_settings_tell_keys_and_address() -> None:
    given = {"VA_API_KEYS": KEY, "VA_VIEWER_KEYS": VIEWER, "VA_PUBLIC_URL": "https://va.example/video/"}
    app = Service(load(given)).application()
    async with browser(cast("RequestMiddleware", app), "http://10.0.0.5:8000") as http:
        entered = await http.post("/session", json={"key": VIEWER}, headers=OWN)
        assert (entered.status_code, entered.json()["access"]) == (200, "viewer")
        assert {"Path=/video", "Secure"} <= set(entered.headers["set-cookie"].split("; "))
        foreign = await http.post(
            "/session", json={"key": VIEWER}, headers={"Origin": "https://evil.example"}
        )
        assert foreign.status_code == 403

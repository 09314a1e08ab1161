"""API keys, loopback clients, rate limits and security headers."""

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from time import monotonic
from typing import Any, cast

import httpx
import pytest

from app.api import ApiDeps
from app.api.http.middleware import RequestMiddleware
from app.api.http.token_bucket import TokenBuckets
from app.postgres import Connection, Database
from tests.api.conftest import LOCAL, Start, connected, listening
from tests.support.waiting import until

KEY = "a-long-secret-key"
BEARER = {"Authorization": f"Bearer {KEY}"}
AWAY = ("203.0.113.7", 40000)


class CountingDatabase:
    """Counts the connections that are taken from a database's pool."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.connections = 0

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        self.connections += 1
        return self._database.connection()


LOOPBACK = ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"]


@pytest.mark.parametrize("address", LOOPBACK)
@pytest.mark.parametrize("options", [{}, {"api_keys": (KEY,), "trust_loopback": True}])
async def test_this_machine_needs_no_key_without_keys_or_if_loopback_is_trusted(
    start: Start, address: str, options: dict[str, object]
) -> None:
    async with start(**options) as app, connected(app, (address, 1)) as http:
        assert (await http.get("/scenarios")).status_code == 200


@pytest.mark.parametrize("address", [*LOOPBACK, "203.0.113.7"])
async def test_once_there_are_keys_every_client_needs_one(start: Start, address: str) -> None:
    async with start(api_keys=(KEY,)) as app, connected(app, (address, 1)) as http:
        for path in ("/scenarios", "/metrics", "/runners", "/nothing", "/health"):
            assert (await http.get(path)).status_code == 401
            assert (await http.get(path, headers=BEARER)).status_code != 401


async def test_a_proxy_that_adds_no_header_makes_nobody_local(start: Start) -> None:
    """A proxy on this machine with nothing but `proxy_pass`: its clients have a loopback address."""
    async with start(api_keys=(KEY,)) as app, listening(app) as url, httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/scenarios")).status_code == 401
        assert (await http.get(f"{url}/scenarios", headers=BEARER)).status_code == 200


@pytest.mark.parametrize("address", ["203.0.113.7", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1", "unix"])
async def test_without_keys_only_this_machine_is_served(start: Start, address: str) -> None:
    async with start() as app, connected(app, (address, 1)) as http:
        for path in ("/scenarios", "/metrics", "/docs", "/", "/nothing"):
            refused = await http.get(path, headers=BEARER)
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
            assert "VA_API_KEYS" in refused.json()["detail"]
        assert (await http.get("/health/live")).status_code == 200


async def test_another_machine_needs_one_of_the_keys(start: Start) -> None:
    async with start(api_keys=("another-secret-key", KEY)) as app, connected(app, AWAY, "va.example") as http:
        for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer wrong"}):
            for path in ("/scenarios", "/metrics", "/nothing", "/health"):
                refused = await http.get(path, headers=headers)
                assert (refused.status_code, refused.json()["type"]) == (401, "/problems/api-key-needed")
                assert refused.headers["www-authenticate"] == "Bearer"
        for path in ("/scenarios", "/metrics"):
            assert (await http.get(path, headers=BEARER)).status_code == 200
            assert (await http.get(path, headers={"authorization": f"bearer {KEY}"})).status_code == 200


async def test_with_keys_the_pages_that_ask_for_one_are_open(start: Start) -> None:
    async with start(api_keys=(KEY,)) as app, connected(app, AWAY) as http:
        for path in ("/docs", "/docs/openapi.json", "/docs/assets/start.js", "/health/ready"):
            assert (await http.get(path)).status_code == 200
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/pages/main.js")).status_code == 200


async def test_a_wrong_key_is_refused_on_this_machine_too(start: Start) -> None:
    async with start(api_keys=(KEY,)) as app, connected(app) as http:
        assert (await http.get("/scenarios", headers={"Authorization": "Bearer wrong"})).status_code == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Proto", "Via"])
async def test_if_loopback_is_trusted_a_request_through_a_proxy_needs_a_key(
    start: Start, header: str
) -> None:
    async with start(api_keys=(KEY,), trust_loopback=True) as app, connected(app) as http:
        forwarded = {header: "127.0.0.1"}
        assert (await http.get("/scenarios", headers=forwarded)).status_code == 401
        assert (await http.get("/scenarios", headers=forwarded | BEARER)).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("va.localhost:8000", 200),
        ("LOCALHOST.", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("localhost.evil.example:8000", 403),
        ("0.0.0.0:8000", 403),
        ("192.168.1.4", 403),
    ],
)
async def test_dns_rebinding_to_this_machine_is_refused(start: Start, host: str, status: int) -> None:
    async with start(api_keys=(KEY,), trust_loopback=True) as app, connected(app) as http:
        assert (await http.get("/scenarios", headers={"Host": host})).status_code == status
        assert (await http.get("/scenarios", headers={"Host": host} | BEARER)).status_code == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 404),
        ("http://localhost:8000", 404),
        ("http://localhost:9000", 403),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
async def test_a_page_of_another_origin_cannot_read_or_change_anything(
    start: Start, origin: str | None, status: int
) -> None:
    headers = {"Host": "localhost:8000"} | ({"Origin": origin} if origin else {})
    path = "/scenarios/00000000-0000-0000-0000-000000000000"
    async with start(api_keys=(KEY,), trust_loopback=True) as app, connected(app) as http:
        for method, suffix in (
            ("POST", "/stop"),
            ("DELETE", ""),
            ("GET", ""),
            ("GET", "/predictions"),
        ):
            assert (await http.request(method, path + suffix, headers=headers)).status_code == status
        assert (await http.post(f"{path}/stop", headers=headers | BEARER)).status_code == 404


@pytest.mark.parametrize(
    ("site", "mode", "destination", "status"),
    [
        ("same-origin", "cors", "empty", 404),
        ("none", "navigate", "document", 404),
        ("cross-site", "navigate", "document", 404),
        ("cross-site", "navigate", "iframe", 403),
        ("cross-site", "no-cors", "image", 403),
        ("same-site", "no-cors", "script", 403),  # another port of this machine
    ],
)
async def test_only_a_link_leads_from_another_site_to_an_answer(
    start: Start, site: str, mode: str, destination: str, status: int
) -> None:
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    path = "/scenarios/00000000-0000-0000-0000-000000000000"
    async with start() as app, connected(app) as http:
        assert (await http.get(path, headers=headers)).status_code == status
        if site not in ("same-origin", "none"):
            assert (await http.post(f"{path}/stop", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
)
async def test_a_page_of_another_origin_cannot_use_up_the_event_streams(
    start: Start, headers: dict[str, str]
) -> None:
    async with start(max_streams=1) as app, listening(app) as url, httpx.AsyncClient() as http:
        for number in range(3):
            host = {"Host": f"h{number}.localhost"}
            assert (await http.get(f"{url}/stream", headers=headers | host)).status_code == 403
        async with http.stream("GET", f"{url}/stream") as opened:
            assert opened.status_code == 200


async def test_a_real_client_on_this_machine_is_admitted(start: Start) -> None:
    async with start() as app, listening(app) as url, httpx.AsyncClient() as http:
        assert (await http.get(f"{url}/scenarios")).status_code == 200
        spoofed = await http.get(f"{url}/scenarios", headers={"X-Forwarded-For": "127.0.0.1"})
        assert spoofed.status_code == 403


async def test_a_websocket_is_refused(app: RequestMiddleware) -> None:
    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/stream"}, cast("Any", None), cast("Any", send))  # type: ignore[arg-type]
    assert [message["type"] for message in cast("list[dict[str, str]]", sent)] == ["websocket.close"]


async def test_every_response_has_the_headers_that_protect_browsers(start: Start) -> None:
    async with start() as app, connected(app, LOCAL) as http:
        for path in ("/scenarios", "/nothing", "/docs"):
            headers = (await http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cache-control"] == "no-store"
            for part in ("default-src", "base-uri", "form-action", "frame-ancestors"):
                assert f"{part} 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]


async def test_only_the_key_over_its_rate_limit_must_wait(start: Start) -> None:
    keys = KEY, "another-secret-key"
    async with (
        start(api_keys=keys, rate_limit=1.0) as app,
        connected(app, AWAY) as http,
    ):
        answers = [await http.get("/detectors", headers=BEARER) for _ in range(10)]
        assert [answer.status_code for answer in answers[:2]] == [200, 200]
        refused = answers[-1]
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
        assert int(refused.headers["retry-after"]) >= 1
        other = {"Authorization": f"Bearer {keys[1]}"}
        assert (await http.get("/detectors", headers=other)).status_code == 200
        assert (await http.get("/health/live")).status_code == 200


async def test_clients_that_need_no_key_have_no_limit(start: Start) -> None:
    async with start(rate_limit=1.0) as app, connected(app) as http:
        assert [(await http.get("/detectors")).status_code for _ in range(50)] == [200] * 50


async def refusals(http: httpx.AsyncClient, path: str, headers: dict[str, str], count: int) -> list[int]:
    return [(await http.get(path, headers=headers)).status_code for _ in range(count)]


async def test_many_wrong_keys_get_429_and_valid_keys_still_pass(start: Start) -> None:
    async with start(api_keys=(KEY,)) as app, connected(app, AWAY) as http:
        wrong = {"Authorization": "Bearer wrong"}
        assert await refusals(http, "/scenarios", wrong, 20) == [401] * 20
        refused = await http.get("/scenarios")
        assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await http.get("/scenarios", headers=BEARER)).status_code == 200
        async with connected(app, ("203.0.113.8", 1)) as other:
            assert (await other.get("/scenarios")).status_code == 401


async def test_ipv6_addresses_of_one_network_count_as_one(start: Start) -> None:
    async with start(api_keys=(KEY,)) as app:
        answers = []
        for number in range(21):
            async with connected(app, (f"2001:db8::{number:x}", 1)) as http:
                answers += await refusals(http, "/scenarios", {}, 1)
        assert answers == [401] * 20 + [429]
        async with connected(app, ("2001:db8:0:1::1", 1)) as http:
            assert await refusals(http, "/scenarios", {}, 1) == [401]


async def test_open_pages_are_limited_for_each_address(start: Start) -> None:
    async with start(api_keys=(KEY,)) as app, connected(app, AWAY) as http, connected(app) as local:
        assert 429 in await refusals(http, "/docs", {}, 300)
        assert await refusals(local, "/docs", {}, 1) == [200]


async def test_health_probes_are_never_limited(start: Start) -> None:
    """A proxy gives all its clients one address, and a liveness probe that gets 429 restarts the process."""
    async with start(api_keys=(KEY,)) as app, connected(app, AWAY) as http:
        assert 429 in await refusals(http, "/docs", {}, 300)
        for path in ("/health/live", "/health/ready"):
            assert await refusals(http, path, {}, 100) == [200] * 100


async def test_readiness_asks_the_databases_once_a_second(start: Start, deps: ApiDeps) -> None:
    counted = CountingDatabase(deps.scenarios)
    counting = ApiDeps(cast("Database", counted), deps.predictions, deps.bus)
    async with start(counting) as app, connected(app) as http:
        began = monotonic()
        answers = await asyncio.gather(*(http.get("/health/ready") for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert counted.connections <= 1 + (monotonic() - began)
        await asyncio.sleep(1)
        before = counted.connections
        await http.get("/health/ready")
        assert counted.connections == before + 1


async def test_one_client_cannot_hold_all_event_streams(start: Start) -> None:
    streams = 50
    async with start(api_keys=(KEY, "another-secret-key")) as app, listening(app) as url:
        away = {"X-Forwarded-For": "203.0.113.7"}
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                httpx.AsyncClient(limits=httpx.Limits(max_connections=None), headers=away, timeout=20)
            )
            for _ in range(streams):
                opened = await stack.enter_async_context(http.stream("GET", f"{url}/stream", headers=BEARER))
                assert opened.status_code == 200
            refused = await http.get(f"{url}/detectors", headers=BEARER)
            assert refused.status_code == 429
            assert "open" in refused.json()["detail"]
            other = {"Authorization": "Bearer another-secret-key"}
            assert (await http.get(f"{url}/detectors", headers=other)).status_code == 200
        async with httpx.AsyncClient(headers=away | BEARER) as again:

            async def free() -> bool:
                return (await again.get(f"{url}/detectors")).status_code == 200

            await until(free)


def test_a_bucket_fills_over_time_up_to_its_burst() -> None:
    now = 0.0
    limit = TokenBuckets(10.0, clock=lambda: now)
    assert [limit.take("a") for _ in range(20)] == [0.0] * 20
    assert limit.take("a") == pytest.approx(0.1)
    assert limit.take("b") == 0
    now = 0.15
    assert limit.take("a") == 0
    assert limit.take("a") == pytest.approx(0.05)
    now = 1000.0
    assert [limit.take("a") for _ in range(20)] == [0.0] * 20
    assert limit.take("a") > 0


def test_the_number_of_remembered_callers_is_bounded() -> None:
    limit = TokenBuckets(1.0)
    for number in range(20_000):
        limit.take(str(number))
    assert len(limit._buckets) == 10_000

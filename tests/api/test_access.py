"""What viewers may do, and the table of it in SECURITY.md."""

import asyncio
import re
from hmac import compare_digest
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
import uvicorn
from litestar.handlers import HTTPRouteHandler
from litestar.types import Receive, Scope, Send
from msgspec.structs import replace

from app.api import ApiOptions, MountedApp, create_app, examples
from app.api.application import PAGES, PROBES, ROUTES
from app.api.http import auth
from app.api.http.auth import is_for_admins
from app.inference.application import InferenceApp
from app.media.uploads import UploadLimits
from app.settings import SettingsError, load
from tests.api.conftest import Start, connected
from tests.support.paths import ROOT

SECURITY = ROOT / "SECURITY.md"
KEY, VIEWER = "a-long-secret-key", "a-key-of-a-viewer"
AWAY = ("203.0.113.7", 40000)
OPEN = {"/", "/openapi.json", "/health/live", "/health/ready", "/session"}
VALUES = {"uuid}": "0198f1c2-6f0e-7b64-9d8e-0f6f0a1c2b3d", "int}": "1", "str}": "x", "path}": "x"}


def as_viewer(key: str = VIEWER) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def who(handler: HTTPRouteHandler, path: str) -> str:
    if path in OPEN or path.startswith(("/docs", "/pages/")):
        return "everyone"
    return "API key" if is_for_admins(handler) else "viewer's key"


def test_the_page_has_a_line_for_each_route() -> None:
    lines = [
        f"| `{method} {path}` | {who(handler, path)} |"
        for handler in [*PROBES, *ROUTES, *PAGES]
        for path in sorted(handler.paths)
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"})
    ]
    table = SECURITY.read_text().partition("### Routes")[2].partition("\n## ")[0]
    assert [line for line in table.splitlines() if line.startswith("| `")] == sorted(lines, key=by_path)


def by_path(line: str) -> tuple[str, str]:
    method, path = line.split("`")[1].split()
    return path, method


async def test_routes_answer_those_that_the_table_names(start: Start, tmp_path: Path) -> None:
    """Every route with each key: unknown ids, parameters and empty bodies, so that nothing is done."""
    uploads = {"media_root": tmp_path, "uploads": UploadLimits()}
    async with start(api_keys=(KEY,), viewer_keys=(VIEWER,), **uploads) as app:
        for number, handler in enumerate([*PROBES, *ROUTES, *PAGES]):
            path, method = min(handler.paths), min(handler.http_methods - {"OPTIONS", "HEAD"})
            url = re.sub("{[^}]+}", lambda part: VALUES[part[0].rpartition(":")[2]], path) + "?unknown=1"
            # From an address of its own: after some refusals, one is refused whatever it asks.
            async with connected(app, (f"203.0.113.{number}", 40000), "va.example") as http:
                expected = who(handler, path)
                assert (await status(http, method, url, {}) == 401) == (expected != "everyone"), path
                viewed = await status(http, method, url, as_viewer())
                assert (viewed == 403) == (expected == "API key"), path
                assert viewed != 401, path
                assert await status(http, method, url, as_viewer(KEY)) not in (401, 403), path


async def status(http: httpx.AsyncClient, method: str, url: str, headers: dict[str, str]) -> int:
    """Return an answer's status, and see that a browser is told to show and share little of it."""
    async with http.stream(method, url, headers=headers | {"Origin": "https://va.example"}) as response:
        told = response.headers
        assert told["x-content-type-options"] == "nosniff", url
        assert told["referrer-policy"] == "no-referrer", url
        assert told["x-frame-options"] == "DENY", url
        assert "frame-ancestors 'none'" in told["content-security-policy"], url
        assert "unsafe-inline" not in told["content-security-policy"], url
        assert "cache-control" in told, url
        assert not [name for name in told if name.startswith("access-control-")], url
        return response.status_code


async def test_every_key_is_compared_with_all_keys_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return compare_digest(given, known)

    monkeypatch.setattr(auth, "compare_digest", compare)
    app = create_app(ApiOptions(version="1", api_keys=(KEY, "another-long-key"), viewer_keys=(VIEWER,)))
    for key in (KEY, VIEWER, "wrong", ""):
        compared.clear()
        async with connected(app, AWAY, "va.example") as http:
            await http.get("/detectors", headers=as_viewer(key))
        assert len(compared) == 3
        assert {(len(given), len(known)) for given, known in compared} == {(32, 32)}  # their hashes


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("203.0.113.7", 403)])
async def test_forwarding_headers_are_believed_from_this_machine_only(peer: str, status: int) -> None:
    """The server, with its defaults, replaces the client's address by what a proxy here says."""
    seen: list[object] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(scope["client"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    config = uvicorn.Config(app)
    config.load()
    transport = httpx.ASGITransport(config.loaded_app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://va.example") as http:
        await http.get("/", headers={"X-Forwarded-For": "198.51.100.9"})
    assert seen == [("198.51.100.9", 0) if status == 200 else (peer, 1)]
    files = [ROOT / name for name in ("Makefile", "Dockerfile", "app/main.py", "app/cli.py", "compose.yaml")]
    texts = [file.read_text() for file in files if file.exists()]
    assert len(texts) >= 3
    assert not [text for text in texts if "forwarded-allow" in text or "FORWARDED_ALLOW" in text]


async def test_the_key_of_an_inference_server_opens_nothing_else() -> None:
    inference = InferenceApp("1", 2**20)
    mounted = MountedApp("/v2", inference, inference.refuse, ("a-key-of-inference",), "VA_INFERENCE_KEY")
    app = create_app(ApiOptions(version="1", api_keys=(KEY,), mounted=mounted))
    async with connected(app, AWAY, "va.example") as http:
        for key, statuses in (("a-key-of-inference", (401, 200)), (KEY, (200, 401))):
            api = await http.get("/detectors", headers=as_viewer(key))
            server = await http.get("/v2", headers=as_viewer(key))
            assert (api.status_code, server.status_code) == statuses


@pytest.mark.parametrize(
    "path", ["/scenarios", "/events", "/deliveries", f"/scenarios/{UUID(int=1)}/history"]
)
async def test_no_page_has_more_than_a_thousand_items(http: httpx.AsyncClient, path: str) -> None:
    refused = await http.get(path, params={"limit": "1001"})
    assert (refused.status_code, refused.json()["field"]) == (400, "limit")
    assert "at most 1000" in refused.json()["detail"]


def test_the_list_of_runners_is_as_long_as_the_page_says() -> None:
    """Some 200 bytes for each runner, and 40 for each scenario that it holds."""
    runner = replace(examples.RUNNER_LIST.items[0], scenario_ids=[])
    holding = replace(runner, scenario_ids=[UUID(int=number) for number in range(100)])
    assert len(msgspec.json.encode(runner)) < 300
    assert len(msgspec.json.encode(holding)) - len(msgspec.json.encode(runner)) < 40 * 100


async def test_a_refused_viewer_is_told_why(start: Start) -> None:
    options = {"api_keys": (KEY,), "viewer_keys": (VIEWER,)}
    async with start(**options) as app, connected(app, AWAY, "va.example") as http:
        refused = await http.post("/scenarios", json={}, headers=as_viewer())
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
        assert "VA_VIEWER_KEYS may only look" in refused.json()["detail"]
        assert (await http.get("/scenarios", headers=as_viewer())).status_code == 200
        wrong = await http.get("/scenarios", headers=as_viewer("another-long-key"))
        assert wrong.status_code == 401


@pytest.mark.parametrize("keys", [{}, {"VA_API_KEYS": VIEWER}])
def test_viewers_need_keys_of_their_own_beside_api_keys(keys: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="VA_VIEWER_KEYS needs VA_API_KEYS: set both, to different keys"):
        load({"VA_VIEWER_KEYS": VIEWER} | keys)


async def test_a_request_needs_no_thread_to_be_let_in(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of runs hold the interpreter's lock, and a request would wait for it twice."""

    def refuse(*_: object) -> None:
        raise AssertionError("a thread was asked for")

    async with start(api_keys=(KEY,), viewer_keys=(VIEWER,)) as app, connected(app) as client:
        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)
        for key in (KEY, VIEWER):
            answer = await client.get("/scenarios/counts", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200, answer.text
        refused = await client.delete(f"/scenarios/{uuid4()}", headers={"Authorization": f"Bearer {VIEWER}"})
        assert refused.status_code == 403

"""What viewers may do, and the table of it in SECURITY.md."""

import re
from pathlib import Path

import httpx
import pytest
from litestar.handlers import HTTPRouteHandler

from app.api.application import PAGES, PROBES, ROUTES
from app.api.http.auth import is_for_admins
from app.media.uploads import UploadLimits
from app.settings import SettingsError, load
from tests.api.conftest import Start, connected

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
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
    async with http.stream(method, url, headers=headers) as response:
        return response.status_code


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

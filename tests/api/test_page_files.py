"""The files of the pages, as browsers get them."""

import re
import tomllib
from hashlib import sha256

import httpx
import pytest

from app.pages.files import FOLDER, STATIC
from tests.api.conftest import Start, connected
from tools.vendor import LICENCES, packages, rewrite

MODULES = sorted(STATIC.rglob("*.js"))


async def test_the_document_and_what_it_loads_are_served_under_a_strict_policy(
    http: httpx.AsyncClient,
) -> None:
    document = await http.get("/")
    assert document.headers["content-type"] == "text/html; charset=utf-8"
    links = re.findall(r'(?:src|href)="([^"]+)"', document.text)
    assert "pages/main.js" in links
    assert not [link for link in links if link.startswith(("/", "http"))]  # works below a path prefix
    for path in ["", *(link for link in links if link.startswith("pages/"))]:
        answer = await http.get(f"/{path}")
        assert answer.status_code == 200, path
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        known = await http.get(f"/{path}", headers={"If-None-Match": answer.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("lib/api.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ],
)
async def test_files_have_their_types(http: httpx.AsyncClient, path: str, media_type: str) -> None:
    assert (await http.get(f"/pages/{path}")).headers["content-type"] == media_type


@pytest.mark.parametrize(
    "path",
    [
        "none.js",
        "lib",
        "../vendor.toml",
        "..%2ffiles.py",
        "%2e%2e/index.html",
        "lib/api.js%00",
        "//etc/x.txt",
        f"{300 * 'a'}.js",
    ],
)
async def test_nothing_but_the_files_of_the_pages_is_served(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(f"/pages/{path}")).status_code == 404


async def test_a_browser_without_a_key_loads_all_files_at_once(start: Start) -> None:
    async with (
        start(api_keys=("a-long-secret-key",)) as app,
        connected(app, ("203.0.113.7", 40000), "va.example") as http,
    ):
        for _ in range(2):
            for path in [*MODULES, STATIC / "style.css"]:
                assert (await http.get(f"/pages/{path.relative_to(STATIC)}")).status_code == 200


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(STATIC)))
def test_every_import_of_a_module_is_a_file(module: str) -> None:
    path = STATIC / module
    for name in re.findall(r"""\b(?:from|import)\s*["']([^"'\s]+)["']""", path.read_text()):
        assert name.startswith("."), f"{path}: browsers find no module called {name}"
        assert (path.parent / name).is_file(), f"{path}: {name}"


def test_own_modules_are_short() -> None:
    own = [path for path in MODULES if path.parent.name != "vendor"]
    assert [path for path in own if len(path.read_text().splitlines()) > 350] == []


def test_vendored_modules_are_those_that_were_looked_at() -> None:
    listed = {file.name: file.sha256 for package in packages() for file in package.file}
    folder = STATIC / "vendor"
    present = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    licences = (folder / LICENCES).read_text()
    present.pop(LICENCES)
    assert present == listed
    for package in packages():
        assert f"{package.name} {package.version}: {package.licence}" in licences


def test_every_vendored_package_has_an_integrity() -> None:
    for package in tomllib.loads((FOLDER / "vendor.toml").read_text())["package"]:
        assert re.fullmatch(r"sha512-[\w+/]{86}==", package["integrity"])


def test_imported_names_become_files() -> None:
    names = {"preact": "preact.js", "@preact/signals-core": "signals-core.js"}
    text = """import{a as b}from"preact";export{c}from '@preact/signals-core';\n//# sourceMappingURL=x.map"""
    expected = """import{a as b}from"./preact.js";export{c}from './signals-core.js';\n"""
    assert rewrite(text, names) == expected
    with pytest.raises(KeyError):
        rewrite('import "unknown"', names)

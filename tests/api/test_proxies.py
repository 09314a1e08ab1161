"""The service behind real proxies, with the configurations that docs/operations.md shows."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from app.postgres import Database
from tests.api.conftest import Start, listening
from tests.support.missing import skip_or_fail
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until

KEY = "a-long-secret-key"
BEARER = {"Authorization": f"Bearer {KEY}"}
PAGE = (ROOT / "docs/operations.md").read_text()
CERTIFICATE = ROOT / "tests/support/self_signed.pem"
NGINX = """\
daemon off; pid {folder}/nginx.pid; error_log stderr; {user}
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
{server}
}}
"""


def shown(language: str) -> list[str]:
    """Return the examples in one language that the page shows."""
    return re.findall(rf"```{language}\n(.+?)```", PAGE, re.DOTALL)


def nginx_configuration(folder: Path, port: int, service: str, *, below_path: bool) -> str:
    server, location = shown("nginx")
    if below_path:
        server = re.sub(r" *location / \{.+?\}\n", location, server, flags=re.DOTALL)
    server = (
        server.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        .replace("127.0.0.1:8000", service)
        .replace("/etc/ssl/video.pem", str(CERTIFICATE))
        .replace("/etc/ssl/video.key", str(CERTIFICATE))
    )
    # As root, nginx's workers would belong to another account, which cannot use the test's folder.
    user = "user root;" if Path("/").owner() == folder.owner() else ""
    return NGINX.format(folder=folder, server=server, user=user)


def caddy_configuration(port: int, service: str, *, below_path: bool) -> str:
    site = shown("caddyfile")[below_path]
    site = re.sub(r"^\S+ \{", f"https://127.0.0.1:{port} {{\n    tls {CERTIFICATE} {CERTIFICATE}", site)
    return "{\n    admin off\n    auto_https disable_redirects\n}\n" + site.replace("127.0.0.1:8000", service)


@asynccontextmanager
async def proxied(
    program: str, folder: Path, port: int, service: str, *, below_path: bool
) -> AsyncIterator[None]:
    """Run a proxy in front of a service during the block."""
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/usr/local/bin")
    if path is None:
        skip_or_fail(f"needs {program}: install the package {program}")
    file = folder / program
    if program == "nginx":
        file.write_text(nginx_configuration(folder, port, service, below_path=below_path))
        command = [path, "-p", str(folder), "-c", str(file)]
    else:
        file.write_text(caddy_configuration(port, service, below_path=below_path))
        command = [path, "run", "--adapter", "caddyfile", "--config", str(file)]
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    log = (folder / "log").open("wb")
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
    log.close()
    try:

        async def answers() -> bool:
            assert process.returncode is None, (folder / "log").read_text()
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        await until(answers)
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.mark.parametrize("below_path", [False, True])
@pytest.mark.parametrize("program", ["nginx", "caddy"])
async def test_the_configurations_of_the_page_work(
    start: Start, tmp_path: Path, scenarios: Database, program: str, below_path: bool
) -> None:
    prefix = "/video" if below_path else ""
    port = free_port()
    site = f"https://127.0.0.1:{port}"
    url = site + prefix
    async with (
        start(api_keys=(KEY,), path_prefix=prefix, public_url=url) as app,
        listening(app) as service,
        proxied(program, tmp_path, port, service.removeprefix("http://"), below_path=below_path),
        httpx.AsyncClient(verify=False) as http,  # noqa: S501 - the proxy's certificate is the test's own
    ):
        for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}):
            assert (await http.get(f"{url}/scenarios", headers=headers)).status_code == 401

        new = {"source": "test:testsrc2", "detector": {"type": "mock"}}
        spoofed = {"X-Forwarded-Prefix": "//evil.example", "X-Forwarded-Host": "evil.example"}
        created = await http.post(f"{url}/scenarios", json=new, headers=BEARER | spoofed)
        assert created.status_code == 201
        place = httpx.URL(url).join(created.headers["location"])
        assert (await http.get(place, headers=BEARER)).json() == created.json()

        folder = {"sources": "yard/*.mp4", "scenario": {"detector": {"type": "mock"}}}
        answer = await http.post(f"{url}/batches", json=folder, headers=BEARER)
        batch = await http.get(httpx.URL(url).join(answer.headers["location"]), headers=BEARER)
        failed = httpx.URL(url).join(batch.json()["failed_scenarios"])
        assert (await http.get(failed, headers=BEARER)).json() == {"items": [], "next_cursor": None}

        for path in ("/", "/docs"):
            page = await http.get(f"{url}{path}")
            links = re.findall(r'(?:href|src)="([^":]+)"', page.text)
            assert len(links) >= 4
            for link in links:
                assert (await http.get(page.url.join(link))).status_code == 200, link
        document = (await http.get(f"{url}/openapi.json")).json()
        assert document["servers"] == [{"url": prefix or "/"}]

        own, foreign = {"Origin": site}, {"Origin": "https://evil.example"}
        assert (await http.post(f"{url}/session", json={"key": KEY}, headers=foreign)).status_code == 403
        entered = await http.post(f"{url}/session", json={"key": KEY}, headers=own)
        assert {f"Path={prefix or '/'}", "Secure"} <= set(entered.headers["set-cookie"].split("; "))
        async with http.stream("GET", f"{url}/stream", timeout=30) as stream:
            assert (await anext(stream.aiter_lines())).startswith("retry:")  # at once: nothing buffers it
        for headers, status in ((foreign, 403), (own, 200)):
            assert (await http.post(f"{place}/stop", headers=headers)).status_code == status
        assert (await http.delete(f"{url}/session", headers=own)).status_code == 204
        assert (await http.get(f"{url}/scenarios")).status_code == 401

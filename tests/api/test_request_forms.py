"""HEAD and whole addresses in the first line, over a socket: servers must understand both."""

from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from litestar.types import ASGIApp

from app.api.http.request_line import name_head
from tests.api.conftest import listening

PATHS = (
    "/", "/scenarios", "/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs", "/nothing",
    "/scenarios/nothing",
)  # fmt: skip
SET_ANEW = ("date", "content-length")  # a page of metrics is of another length each time


async def test_head_answers_as_get_does_without_a_body(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        for path in PATHS:
            whole, head = await http.get(path), await http.head(path)
            assert head.status_code == whole.status_code, path
            assert head.content == b"", path
            told = [
                [each for each in answer.headers.items() if each[0] not in SET_ANEW]
                for answer in (whole, head)
            ]
            assert told[0] == told[1], path
            assert int(head.headers["content-length"]) > 0, path


async def test_head_of_a_stream_without_an_end_ends(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        with anyio.fail_after(60):
            for _ in range(110):  # more than may be open at once
                answer = await http.head("/stream")
                assert answer.status_code == 200, answer.text
                assert answer.headers["content-type"].startswith("text/event-stream")


async def test_head_changes_nothing_where_get_is_no_method(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await http.head("/sources/try")
        assert (answer.status_code, answer.content) == (405, b"")


@pytest.mark.parametrize("target", ["/scenarios?limit=1", "?limit=1", "/scenarios/%41"])
async def test_a_whole_address_is_its_path(app: ASGIApp, target: str) -> None:
    """Proxies send it."""
    async with listening(app) as url:
        answers = []
        for begin in ("", url, url.replace("http", "HTTP")):
            place = urlsplit(url)
            first = begin + target if begin else "/" * target.startswith("?") + target
            async with await anyio.connect_tcp(place.hostname or "", place.port or 0) as socket:
                request = f"GET {first} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n"
                await socket.send(request.encode())
                with anyio.fail_after(60):
                    answers.append((await socket.receive()).partition(b"\r\n")[0])
        assert answers[0].split()[1] == (b"404" if "41" in target else b"200")
        assert set(answers) == {answers[0]}


def test_head_is_allowed_where_get_is() -> None:
    assert name_head((b"Allow", b"OPTIONS, GET")) == (b"Allow", b"GET, HEAD, OPTIONS")
    assert name_head((b"allow", b"OPTIONS, POST")) == (b"allow", b"OPTIONS, POST")
    assert name_head((b"x", b"GET")) == (b"x", b"GET")

"""Every error is answered with a problem document that says what to do."""

import gzip
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
import httpx
import pytest
from anyio.abc import SocketStream
from litestar.types import ASGIApp
from structlog.testing import capture_logs

from app.api import ApiDeps, ApiOptions, create_app
from app.api.http import requests
from app.api.queries import scenarios as queries
from app.postgres import open_database
from tests.api.conftest import Start, connected, listening

JSON = {"Content-Type": "application/json"}


def assert_problem(response: httpx.Response, status: int, slug: str) -> str:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"/problems/{slug}"
    assert problem["status"] == status
    assert problem["title"]
    return str(problem["detail"])


async def test_an_unknown_path(http: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/docs/nothing", "/docs/assets/nothing.js"):
        assert "/docs" in assert_problem(await http.get(path), 404, "not-found")


async def test_a_method_that_a_path_does_not_support(http: httpx.AsyncClient) -> None:
    response = await http.put("/scenarios", json={})
    assert_problem(response, 405, "method-not-allowed")
    assert {"GET", "POST"} <= set(response.headers["allow"].split(", "))


async def test_options_lists_the_methods_of_a_path(http: httpx.AsyncClient) -> None:
    for path, methods in (
        ("/scenarios", "GET, HEAD, OPTIONS, POST"),
        (f"/scenarios/{uuid4()}", "DELETE, GET, HEAD, OPTIONS, PATCH"),
    ):
        response = await http.options(path)
        assert (response.status_code, response.headers["allow"]) == (204, methods)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"source": "clip.mp4",\n "detector": {"type": "marker"},}', "at line 2, column 33"),
        (b'{"source": "clip.mp4"', "ends too early"),
        (b"", "empty"),
        (b"hello", "line 1, column 1"),
        (b'{"source": "\xff"}', "UTF-8"),
        (b'{"source": "\\ud800", "detector": {"type": "marker"}}', "surrogate"),
        (b'{"source": "a", "detector": {"x": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"source": "a", "detector": ' + b'{"type": ' * 10_000, "nested too deeply"),
    ],
)
async def test_a_body_that_is_not_json(http: httpx.AsyncClient, body: bytes, words: str) -> None:
    response = await http.post("/scenarios", content=body, headers=JSON)
    assert words in assert_problem(response, 400, "bad-request")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"source": "test:a", "source": "test:testsrc2", "detector": {"type": "mock"}}', "source"),
        (b'{"source": "test:testsrc2", "detector": {"type": "mock", "seed": 1, "seed": 2}}', "seed"),
        (
            b'{"source": "test:testsrc2", "detector": {"type": "mock"}, "n\\u0061me": "a", "name": "b"}',
            "name",
        ),
    ],
)
async def test_a_name_that_is_given_twice_is_refused(
    http: httpx.AsyncClient, body: bytes, field: str
) -> None:
    response = await http.post("/scenarios", content=body, headers=JSON)
    assert f"`{field}` is given more than once" in assert_problem(response, 422, "invalid")


async def test_an_escaped_backslash_before_u0000_is_no_nul(http: httpx.AsyncClient) -> None:
    for slashes, status in ((1, 422), (2, 201), (3, 422), (4, 201)):
        body = NEW.replace("Tür", "\\" * slashes + "u0000").encode()
        response = await http.post("/scenarios", content=body, headers=JSON)
        assert response.status_code == status, slashes


@pytest.mark.parametrize("coding", ["gzip", "br", "made-up"])
async def test_a_compressed_body_is_refused_with_what_to_do(http: httpx.AsyncClient, coding: str) -> None:
    headers = JSON | {"Content-Encoding": coding}
    response = await http.post("/scenarios", content=gzip.compress(NEW.encode()), headers=headers)
    assert f"encoded with '{coding}'" in assert_problem(response, 415, "unsupported-media-type")
    assert response.headers["accept-encoding"] == "identity"
    as_it_is = await http.post("/scenarios", content=NEW, headers=JSON | {"Content-Encoding": "Identity"})
    assert as_it_is.status_code == 201


async def test_a_query_parameter_without_a_name_is_refused(http: httpx.AsyncClient) -> None:
    assert "has no name" in assert_problem(await http.get("/scenarios?=1"), 400, "bad-request")


NEW = '{"source": "test:testsrc2", "detector": {"type": "mock"}, "name": "Tür"}'


async def test_a_body_may_begin_with_a_byte_order_mark(http: httpx.AsyncClient) -> None:
    created = await http.post("/scenarios", content=NEW.encode("utf-8-sig"), headers=JSON)
    assert (created.status_code, created.json()["name"]) == (201, "Tür")


@pytest.mark.parametrize(
    ("encoding", "named"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("utf-32-le", "UTF-32"),
        ("utf-32-be", "UTF-32"),
        ("cp1252", "Windows-1252"),
    ],
)
async def test_a_body_in_another_encoding_is_refused_by_its_name(
    http: httpx.AsyncClient, encoding: str, named: str
) -> None:
    response = await http.post("/scenarios", content=NEW.encode(encoding), headers=JSON)
    detail = assert_problem(response, 400, "bad-request")
    assert named in detail
    assert detail.endswith("Send it in UTF-8.")


async def test_a_wrong_choice_is_refused_with_the_values_that_are_allowed(http: httpx.AsyncClient) -> None:
    refused = await http.get("/scenarios", params={"state": "running"})
    assert assert_problem(refused, 400, "bad-request").endswith(
        "it must be one of init_startup, in_startup_processing, active, init_shutdown,"
        " in_shutdown_processing, inactive."
    )
    for detector, words in (
        (
            {"dictionary": "DICT_4X4_50"},
            "`detector.dictionary` must not be 'DICT_4X4_50'; it must be one of 4x4_100,",
        ),
        ({"codes": ["aruco", "ean"]}, "must not be 'ean'; it must be one of aruco, qr."),
    ):
        body = {"source": "clip.mp4", "detector": {"type": "marker", **detector}}
        refused = await http.post("/scenarios", json=body)
        assert words in assert_problem(refused, 422, "invalid")


@pytest.mark.parametrize("path", ["/scenarios/xyz", "/scenarios/xyz/predictions", "/scenarios/1234"])
async def test_an_id_that_is_no_uuid_is_named(http: httpx.AsyncClient, path: str) -> None:
    detail = assert_problem(await http.get(path), 404, "not-found")
    assert "which is a UUID" in detail
    assert path.split("/")[2] in detail


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_body_of_another_type(http: httpx.AsyncClient, media_type: str | None) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    response = await http.post("/scenarios", content=b"{}", headers=headers)
    assert "--json" in assert_problem(response, 415, "unsupported-media-type")


async def speak(url: str) -> SocketStream:
    address = urlsplit(url)
    return await anyio.connect_tcp(address.hostname or "", address.port or 0)


async def test_a_body_that_is_too_large_is_refused_before_it_arrives(app: ASGIApp) -> None:
    async with listening(app) as url, await speak(url) as socket:
        await socket.send(
            b"POST /scenarios HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 10000000\r\n\r\n{"
        )
        with anyio.fail_after(60):
            assert b"413" in (await socket.receive()).split(b"\r\n")[0]


async def test_a_body_without_a_length_is_not_read_past_the_limit(app: ASGIApp) -> None:
    async with listening(app) as url, httpx.AsyncClient() as http:

        async def endless() -> object:
            for _ in range(10):
                yield b" " * 1_000_000

        response = await http.post(f"{url}/scenarios", content=endless(), headers=JSON)  # type: ignore[arg-type]
        assert "1 MB" in assert_problem(response, 413, "too-large")
        assert (await http.get(f"{url}/scenarios")).status_code == 200, "the service is unharmed"


async def test_a_body_that_arrives_too_slowly_is_refused(
    app: ASGIApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BODY_TIMEOUT", 0.2)
    async with listening(app) as url, await speak(url) as socket:
        await socket.send(
            b"POST /scenarios HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        with anyio.fail_after(60):
            assert b"408" in (await socket.receive()).split(b"\r\n")[0]


async def test_a_client_that_disconnects_within_its_body_is_no_error(app: ASGIApp) -> None:
    with capture_logs() as logs:
        async with listening(app) as url:
            async with await speak(url) as socket:
                await socket.send(
                    b"POST /scenarios HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Content-Length: 100\r\n\r\n{"
                )
            async with httpx.AsyncClient() as http:
                assert (await http.get(f"{url}/scenarios")).status_code == 200
    assert {line["log_level"] for line in logs} <= {"debug", "info"}


async def test_a_database_that_does_not_answer(start: Start, deps: ApiDeps) -> None:
    async with open_database("postgresql://127.0.0.1:1/nothing") as away:
        broken = ApiDeps(away, away, deps.bus)
        async with start(broken) as app, connected(app) as http:
            for path in ("/scenarios", f"/scenarios/{uuid4()}/predictions", "/runners", "/stream"):
                response = await http.get(path)
                assert "Repeat" in assert_problem(response, 503, "unavailable")
                assert response.headers["retry-after"] == "2"


async def test_a_service_that_is_still_starting() -> None:
    async with connected(create_app(ApiOptions(version="1"))) as http:
        for path in ("/scenarios", "/stream"):
            assert "starting" in assert_problem(await http.get(path), 503, "unavailable")


async def test_an_unexpected_error_is_logged_under_the_id_in_the_response(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(queries, "find_row", fail)
    with capture_logs() as logs:
        response = await http.get(f"/scenarios/{uuid4()}")
    detail = assert_problem(response, 500, "internal")
    error_id = response.json()["error_id"]
    assert error_id in detail
    assert "ZeroDivision" not in response.text
    assert "secret" not in response.text
    (fault,) = [line for line in logs if line["log_level"] == "error"]
    assert fault["error_id"] == error_id
    assert isinstance(fault["exc_info"], ZeroDivisionError)


async def test_each_request_is_logged_in_one_line(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    scenario_id = uuid4()
    with capture_logs() as logs:
        await http.get(f"/scenarios/{scenario_id}?secret=1")
        await http.post("/nothing")
    lines = [line for line in logs if line["event"] == "request"]
    assert [(line["method"], line["route"], line["status"], line["log_level"]) for line in lines] == [
        ("GET", "/scenarios/{scenario_id}", 404, "debug"),
        ("POST", "unmatched", 404, "info"),
    ]
    assert all(line["ms"] > 0 for line in lines)
    assert "secret" not in str(lines)
    caplog.set_level("INFO")
    with capture_logs() as logs:
        await http.get(f"/scenarios/{scenario_id}")
    assert not [line for line in logs if line["event"] == "request"]


async def test_a_path_cannot_forge_a_log_line(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with capture_logs() as lines:
        await http.post("/x%0a2026-11-23%20[error]%20forged")
    assert lines[0]["path"] == "/x%0a2026-11-23%20[error]%20forged"


async def test_a_wrong_choice_is_answered_with_the_choices(http: httpx.AsyncClient) -> None:
    detail = assert_problem(await http.get("/scenarios?state=running"), 400, "bad-request")
    assert detail == (
        "`state` must not be 'running'; it must be one of init_startup, in_startup_processing, active,"
        " init_shutdown, in_shutdown_processing, inactive."
    )

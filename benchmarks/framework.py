"""How long the API's own ways take, against Litestar's ways for the same (see docs/framework.md).

The reference is Litestar's way. Requests go straight to the ASGI application: no server, no sockets.
"""
# ruff: noqa: ARG001 - handlers declare what Litestar injects

import time
from functools import partial
from typing import Annotated, Any
from uuid import UUID, uuid4

import msgspec
from litestar import Litestar, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, Parameter
from litestar.response.base import ASGIResponse

from app.api.examples import NEW_SCENARIOS
from app.api.http.requests import ApiRequest
from app.api.http.responses import JsonResponse
from app.api.new_scenario import NewScenario
from app.api.routes.scenarios import ScenarioQuery
from benchmarks.table import Row, alternate, command

CALLS = 500
BODY = b'{"a":1}' * 150
NEW = msgspec.json.encode(next(iter(NEW_SCENARIOS.values())))


class Resources:
    """What handlers need from the application."""


def _deps(state: State) -> Resources:
    resources: Resources = state.deps
    return resources


def _cache(state: State) -> Resources:
    resources: Resources = state.response_cache
    return resources


@get("/own/response/{number:uuid}")
async def own_response(number: FromPath[UUID]) -> JsonResponse:
    """Return JSON bytes in the API's own response."""
    return JsonResponse(BODY)


@get("/litestar/asgi-response/{number:uuid}")
async def asgi_response(number: FromPath[UUID]) -> ASGIResponse:
    """Return them in Litestar's low-level response."""
    return ASGIResponse(body=BODY, media_type="application/json")


@get("/litestar/response/{number:uuid}")
async def response(number: FromPath[UUID]) -> Response[bytes]:
    """Return them in Litestar's usual response."""
    return Response(BODY, media_type="application/json")


@get("/own/resources/{number:uuid}")
async def own_resources(request: ApiRequest, number: FromPath[UUID]) -> JsonResponse:
    """Read two resources from the request."""
    _ = request.deps, request.response_cache
    return JsonResponse(BODY)


@get(
    "/litestar/resources/{number:uuid}",
    dependencies={
        "deps": Provide(_deps, sync_to_thread=False),
        "cache": Provide(_cache, sync_to_thread=False),
    },
)
async def dependencies(
    number: FromPath[UUID], deps: NamedDependency[Resources], cache: NamedDependency[Resources]
) -> JsonResponse:
    """Get them as dependencies."""
    return JsonResponse(BODY)


@get("/own/query")
async def own_query(request: ApiRequest) -> JsonResponse:
    """Decode the query string with a Struct."""
    request.parameters(ScenarioQuery)
    return JsonResponse(BODY)


@get("/litestar/query")
async def query(
    limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
    of_state: Annotated[str | None, Parameter(query="state")] = None,  # `state` itself is a reserved name
    cursor: str | None = None,
) -> JsonResponse:
    """Get its parameters as arguments."""
    return JsonResponse(BODY)


@post("/own/body", status_code=200)
async def own_body(request: ApiRequest) -> JsonResponse:
    """Decode the body with our errors."""
    await request.content(NewScenario)
    return JsonResponse(BODY)


@post("/litestar/body", status_code=200)
async def body(data: NewScenario) -> JsonResponse:
    """Get it as an argument."""
    return JsonResponse(BODY)


ALL = [own_response, asgi_response, response, own_resources, dependencies, own_query, query, own_body, body]
COMPARED = (
    ("JSON bytes: JsonResponse, against ASGIResponse", "own/response", "litestar/asgi-response"),
    ("JSON bytes: JsonResponse, against Response", "own/response", "litestar/response"),
    ("two resources: of the request, against Provide", "own/resources", "litestar/resources"),
    ("a query string: Struct, against arguments", "own/query", "litestar/query"),
    ("a body: request.content, against data", "own/body", "litestar/body"),
)


async def rate(app: Litestar, path: str) -> float:
    """Return requests a second."""
    began = time.perf_counter()
    for _ in range(CALLS):
        await _request(app, path)
    return CALLS / (time.perf_counter() - began)


async def _request(app: Litestar, path: str) -> None:
    is_post = path.endswith("body")
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST" if is_post else "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"limit=50&state=active" if path.endswith("query") else b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    status = 0

    async def receive() -> Any:
        return {"type": "http.request", "body": NEW if is_post else b"", "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)  # type: ignore[arg-type]
    assert status == 200, (path, status)


async def measure(rounds: int) -> list[Row]:
    """Compare each pair."""
    app = Litestar(
        ALL,
        openapi_config=None,
        logging_config=None,
        request_class=ApiRequest,
        state=State({"deps": Resources(), "response_cache": Resources()}),
    )
    rows = []
    for name, *paths in COMPARED:
        needs_id = "response" in paths[0] or "resources" in paths[0]
        own, other = [f"/{path}/{uuid4()}" if needs_id else f"/{path}" for path in paths]
        measured, reference = await alternate(rounds, partial(rate, app, own), partial(rate, app, other))
        rows.append(Row("", name, "requests/s", measured, reference))
    return rows


if __name__ == "__main__":
    command(__doc__, measure)

"""Build the OpenAPI 3.1 document from what each handler declares about itself.

The schemas are msgspec's own, of the same Structs that requests are decoded with, so the document has every
constraint, default and discriminator that applies.
"""

import re
from functools import lru_cache
from inspect import cleandoc
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct, field

from .problems import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL,
    KEY_NEEDED,
    PROBLEM_JSON,
    TOO_MANY_REQUESTS,
    UNAVAILABLE,
    Problem,
    ProblemError,
    ProblemType,
)
from .sessions import COOKIE

_REF = "#/components/schemas/{name}"
_SCENARIO = re.compile(r"{scenario_id\b")

TAGS = {
    "scenarios": "One video source plus one detector: create, follow, stop, start and delete.",
    "batches": "Folders of recordings: each file becomes a scenario, and new files can follow.",
    "results": "What was found in each frame.",
    "media": "The recordings below the media folder.",
    "changes": "The changes of scenarios: history, and a live stream.",
    "notifications": "Channels, and the deliveries of events to them.",
    "models": "The models of the model folder, and what they find in a picture.",
    "access": "Log in from a page, and out.",
    "service": "Runners, detectors, health and metrics.",
}
DESCRIPTION = """\
Self-hosted video analysis. A scenario is one video source plus one detector; every sampled frame of a
recording gets exactly one prediction, whichever process was killed meanwhile.

Errors are problem documents (RFC 9457): programs read `type`, people read in `detail` what to do.
If the service has keys, every client sends one as `Authorization: Bearer …`; if it has none, it answers only
clients on its own machine. With a key of `VA_VIEWER_KEYS` one may look, and change nothing. A page in a
browser exchanges a key for a cookie (`POST /session`).
"""
_COMMON_PROBLEMS = {
    TOO_MANY_REQUESTS: "This API key makes more requests than allowed (VA_RATE_LIMIT). Wait, then send fewer."
}
_KEYED_PROBLEMS = {
    KEY_NEEDED: "Send an API key as `Authorization: Bearer …`.",
    FORBIDDEN: "Without API keys the service answers only clients on its own machine.",
    UNAVAILABLE: "A database does not answer. Repeat the request in a moment.",
    INTERNAL: (
        "The error is logged under 3f1c7a9be204. Repeat the request; if it fails again, report this id."
    ),
}


class ResponseDoc(Struct, frozen=True):
    """One successful response. `model` is the type of its body, None if it has no body."""

    description: str
    model: Any = None
    example: Any = None
    media_type: str = "application/json"
    alternatives: tuple[str, ...] = ()  # media types that a client may ask for instead
    headers: dict[str, str] = {}


class OperationDoc(Struct, frozen=True, kw_only=True):
    """The documentation of an operation, passed to its handler's decorator as `doc`.

    `query` is the Struct that its parameters are decoded with. `headers` maps names to types, and `problems`
    maps types to an example of `detail`. `open` operations need no key; those `for_admins` need one of
    VA_API_KEYS, as all do that change something. `path` is set if a handler's own path cannot tell it, and
    `body_types` if the body is not JSON.
    """

    id: str
    tag: str
    summary: str
    responses: dict[int, ResponseDoc]
    description: str = ""
    query: Any = None
    headers: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    path: str = ""
    body_types: tuple[str, ...] = ()
    body_examples: dict[str, Any] = field(default_factory=dict)
    problems: dict[ProblemType, str] = field(default_factory=dict)
    open: bool = False
    for_admins: bool = False


@lru_cache(maxsize=4)
def openapi_document(handlers: tuple[HTTPRouteHandler, ...], version: str, prefix: str = "") -> bytes:
    """Return the document as JSON. Handlers without a `doc` are left out; paths are below `prefix`.

    The first call takes 0.1 s.
    """
    documented = [(handler, doc) for handler in handlers if (doc := handler.opt.get("doc"))]
    models = {Problem: None}
    of_scenarios = [doc.id for handler, doc in documented if any(map(_SCENARIO.search, handler.paths))]
    paths: dict[str, dict[str, Any]] = {}
    for handler, doc in documented:
        models |= dict.fromkeys(
            m for m in (doc.body, *(a.model for a in doc.responses.values())) if _has_schema(m)
        )
        for path in handler.paths:
            for method in handler.http_methods:
                paths.setdefault(doc.path or re.sub(r":\w+}", "}", path), {})[method.lower()] = _operation(
                    path, doc, of_scenarios
                )
    _, schemas = msgspec.json.schema_components(models, ref_template=_REF)
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "videoanalysis",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix or "/"}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "security": [{"api_key": []}, {"session": []}, {}],
        "paths": paths,
        "components": {
            "schemas": {name: _clean(schema) for name, schema in schemas.items()},
            "securitySchemes": {
                "api_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of VA_API_KEYS, or to look one of VA_VIEWER_KEYS.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "What POST /session sets, for pages of this service.",
                },
            },
        },
    }
    return msgspec.json.encode(document)


def _has_schema(model: Any) -> bool:
    return model is not None and model is not str


def _schema(model: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components((model,), ref_template=_REF)
    return schema


def _clean(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"description": cleandoc(schema["description"])} if "description" in schema else schema


def _operation(path: str, doc: OperationDoc, of_scenarios: list[str]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": doc.id,
        "tags": [doc.tag],
        "summary": doc.summary,
        "description": doc.description,
        "parameters": _parameters(path, doc),
        "responses": {
            str(status): _response(response) | _links(path, doc, response, of_scenarios)
            for status, response in doc.responses.items()
        }
        | _problem_responses(doc),
    }
    if doc.open:
        operation["security"] = []
    if doc.body is not None:
        examples = {name: {"summary": name, "value": value} for name, value in doc.body_examples.items()}
        content = {"application/json": {"schema": _schema(doc.body), "examples": examples}}
        operation["requestBody"] = {"required": True, "content": content}
    if doc.body_types:
        binary = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"required": True, "content": dict.fromkeys(doc.body_types, binary)}
    return operation


def _parameters(path: str, doc: OperationDoc) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"} | ({} if kind == "path" else {"format": kind}),
        }
        for name, kind in re.findall(r"{(\w+):(\w+)}", path)
    ]
    given = [("header", name, _schema(model)) for name, model in doc.headers.items()]
    if doc.query is not None:
        _, schemas = msgspec.json.schema_components((doc.query,), ref_template=_REF)
        given += [("query", *item) for item in schemas[doc.query.__name__]["properties"].items()]
    for place, name, schema in given:
        about = schema.pop("description", "")
        found.append({"name": name, "in": place, "description": about, "schema": schema})
    return found


def _response(response: ResponseDoc) -> dict[str, Any]:
    described: dict[str, Any] = {"description": response.description}
    if response.headers:
        described["headers"] = {
            name: {"description": about, "schema": {"type": "string"}}
            for name, about in response.headers.items()
        }
    if response.model is not None:
        content = {"schema": _schema(response.model), "examples": {"example": {"value": response.example}}}
        described["content"] = {response.media_type: content}
    for media_type in response.alternatives:
        other: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
        if media_type == "application/json":
            other = {"schema": {"type": "object"}, "examples": {"example": {"value": {}}}}
        described.setdefault("content", {})[media_type] = other
    return described


def _links(path: str, doc: OperationDoc, response: ResponseDoc, of_scenarios: list[str]) -> dict[str, Any]:
    """Return the requests that can use a value of this response: a scenario's id, or a cursor."""
    fields = getattr(response.model, "__struct_fields__", ())
    links: dict[str, Any] = {}
    if "id" in fields and path.startswith("/scenarios"):
        scenario = {"scenario_id": "$response.body#/id"}
        links = {name: {"operationId": name, "parameters": scenario} for name in of_scenarios}
    if "next_cursor" in fields:
        same = {"scenario_id": "$request.path.scenario_id"} if _SCENARIO.search(path) else {}
        parameters = same | {"cursor": "$response.body#/next_cursor"}
        links["next"] = {"operationId": doc.id, "parameters": parameters}
    return {"links": links} if links else {}


def _problem_responses(doc: OperationDoc) -> dict[str, Any]:
    common = _COMMON_PROBLEMS if doc.open else _COMMON_PROBLEMS | _KEYED_PROBLEMS
    if doc.query is not None:
        common = common | {BAD_REQUEST: "`limit` must be a whole number at most 1000."}
    responses: dict[str, Any] = {}
    for kind, detail in (common | doc.problems).items():
        response = responses.setdefault(
            str(kind.status),
            {
                "description": kind.title,
                "content": {PROBLEM_JSON: {"schema": _schema(Problem), "examples": {}}},
            },
        )
        value = ProblemError(kind, detail).problem
        response["content"][PROBLEM_JSON]["examples"][kind.slug] = {"summary": kind.title, "value": value}
    return responses

"""The OpenAPI document and the page that shows it."""

import re
from html.parser import HTMLParser
from typing import Any

import httpx
import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler

from app.api.application import PROBES, ROUTES
from app.api.http.openapi import OperationDoc
from app.api.http.problems import Problem

HANDLERS = [*PROBES, *ROUTES]


class Links(HTMLParser):
    """Collects the links of a page, and its inline scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in dict(attrs)):
            self.inline.append(tag)


@pytest.fixture
async def document(http: httpx.AsyncClient) -> dict[str, Any]:
    response = await http.get("/docs/openapi.json")
    assert response.headers["content-type"] == "application/json"
    document: dict[str, Any] = response.json()
    return document


def refs(part: object) -> set[str]:
    if isinstance(part, dict):
        here = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return here.union(*map(refs, part.values()))
    return set().union(*map(refs, part)) if isinstance(part, list) else set()


async def test_the_page_loads_nothing_from_anywhere_else(http: httpx.AsyncClient) -> None:
    response = await http.get("/docs")
    links = Links()
    links.feed(response.text)
    assert response.headers["content-type"].startswith("text/html")
    assert "http" not in response.text.replace("the HTTP API", "")
    local = [link for link in links.found if link != "data:,"]
    assert local
    for link in local:
        assert link.startswith("/docs/")
        asset = await http.get(link)
        assert asset.status_code == 200, link
        assert not re.search(r"@import|url\(['\"]?https?:", asset.text) or link.endswith(".js")
    policy = response.headers["content-security-policy"]
    assert "http" not in policy
    assert "unsafe" not in policy
    assert links.inline == []  # the Content-Security-Policy forbids inline scripts and styles


async def test_what_a_newcomer_executes_first_works_and_ends(
    http: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    content = document["paths"]["/scenarios"]["post"]["requestBody"]["content"]["application/json"]
    preselected = next(iter(content["examples"].values()))["value"]
    assert preselected["source"].startswith("test:")  # it needs no file, camera or model
    assert (await http.post("/scenarios", json=preselected)).status_code == 201
    (seconds,) = document["paths"]["/stream"]["get"]["parameters"][1:]
    assert (seconds["name"], seconds["schema"]["example"]) == ("seconds", 5)


async def test_the_document_has_the_usual_address_too(http: httpx.AsyncClient) -> None:
    assert (await http.get("/openapi.json")).json() == (await http.get("/docs/openapi.json")).json()


async def test_every_route_is_documented(document: dict[str, Any]) -> None:
    described = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    served = {
        (handler.opt["doc"].path or re.sub(r":\w+}", "}", path), method)
        for handler in HANDLERS
        for path in handler.paths
        for method in handler.http_methods
    }
    assert described == served
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert {tag for operation in operations for tag in operation["tags"]} == {
        tag["name"] for tag in document["tags"]
    }


async def test_every_body_has_a_schema_and_an_example(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    for path, item in document["paths"].items():
        for method, operation in item.items():
            bodies = [*operation["responses"].values(), operation.get("requestBody", {})]
            for content in (c for body in bodies for c in body.get("content", {}).values()):
                assert content["schema"], (method, path)
                if content["schema"].get("format") == "binary":  # a picture
                    continue
                assert content["examples"], (method, path)
    for ref in refs(document):
        assert ref.removeprefix("#/components/schemas/") in document["components"]["schemas"], ref


@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: handler.opt["doc"].id)
def test_examples_match_their_types(handler: HTTPRouteHandler) -> None:
    doc: OperationDoc = handler.opt["doc"]
    examples = [(answer.model, answer.example) for answer in doc.responses.values() if answer.model]
    examples += [(doc.body, example) for example in doc.body_examples.values()]
    for model, example in examples:
        assert msgspec.json.decode(msgspec.json.encode(example), type=model) == example


async def test_problems_are_documented_as_they_are_sent(
    http: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    described = document["paths"]["/scenarios/{scenario_id}"]["get"]["responses"]["404"]
    example = described["content"]["application/problem+json"]["examples"]["not-found"]["value"]
    sent = await http.get("/scenarios/00000000-0000-0000-0000-000000000000")
    assert msgspec.convert(example, Problem).type == sent.json()["type"]


async def test_parameters_are_documented_with_their_limits(document: dict[str, Any]) -> None:
    operation = document["paths"]["/scenarios/{scenario_id}/predictions"]["get"]
    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert parameters["scenario_id"]["in"] == "path"
    assert parameters["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    assert "confidence" in parameters["min_confidence"]["description"]
    creating = document["paths"]["/scenarios"]["post"]
    assert creating["parameters"][0]["name"] == "Idempotency-Key"
    assert creating["security"] if "security" in creating else document["security"]


async def test_links_name_the_requests_that_can_follow(document: dict[str, Any]) -> None:
    created = document["paths"]["/scenarios"]["post"]["responses"]["201"]["links"]
    assert created["getScenario"]["parameters"] == {"scenario_id": "$response.body#/id"}
    ids = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    for item in document["paths"].values():
        for operation in item.values():
            for answer in operation["responses"].values():
                assert {link["operationId"] for link in answer.get("links", {}).values()} <= ids
    page = document["paths"]["/scenarios/{scenario_id}/predictions"]["get"]["responses"]["200"]["links"]
    assert page["next"]["parameters"] == {
        "scenario_id": "$request.path.scenario_id",
        "cursor": "$response.body#/next_cursor",
    }

"""Judge generated requests and their responses, as sent over the wire, by the OpenAPI document alone."""

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
from msgspec import Struct, field

Json = dict[str, Any]


class Exchange(Struct, frozen=True):
    """A request and its answer; `status` is 0 if there was no response."""

    phase: str
    method: str
    path: str
    body: bytes
    status: int
    media_type: str
    content: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body[:200]!r} → {self.status} {self.content[:200]!r}"


class Verdict(Struct, frozen=True):
    """How many requests each phase made, and those whose answers may not be."""

    by_phase: Counter[str] = field(default_factory=Counter)
    faults: list[Exchange] = field(default_factory=list)
    undescribed: list[Exchange] = field(default_factory=list)
    accepted: list[Exchange] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """All requests."""
        return self.by_phase.total()

    def add(self, other: "Verdict") -> None:
        """Count another's requests too."""
        self.by_phase.update(other.by_phase)
        self.faults.extend(other.faults)
        self.undescribed.extend(other.undescribed)
        self.accepted.extend(other.accepted)

    def lost(self) -> str:
        """The figures of a line in the battery's table."""
        return (
            f"{len(self.faults)} answers ≥ 500, {len(self.undescribed)} against the schema,"
            f" {len(self.accepted)} invalid inputs accepted"
        )


def judge(report: Path, document: Json) -> Verdict:
    """Go through a report of schemathesis, whose own verdict is not asked."""
    verdict = Verdict()
    description = _ApiDescription(document)
    for exchange in exchanges(report):
        verdict.by_phase[exchange.phase] += 1
        if exchange.status == 0 or exchange.status >= 500:
            verdict.faults.append(exchange)
        if not description.describes(exchange):
            verdict.undescribed.append(exchange)
        if 200 <= exchange.status < 300 and not description.allows(exchange):
            verdict.accepted.append(exchange)
    return verdict


def exchanges(report: Path) -> Iterator[Exchange]:
    """Everything that went over the wire."""
    with report.open() as lines:
        for line in lines:
            if finished := json.loads(line).get("ScenarioFinished"):
                for exchange in finished["recorder"].get("interactions", {}).values():
                    yield _exchange(finished["phase"], exchange["request"], exchange["response"] or {})


def _exchange(phase: str, request: Json, response: Json) -> Exchange:
    return Exchange(
        phase,
        request["method"],
        urlsplit(request["uri"]).path,
        _bytes(request.get("body")),
        response.get("status_code", 0),
        response.get("headers", {}).get("content-type", [""])[0].partition(";")[0],
        _bytes(response.get("content")),
    )


def _bytes(part: Json | None) -> bytes:
    return b64decode(part["$base64"]) if part else b""


class _ApiDescription:
    """The document: which operation a path belongs to, and what may be sent and answered."""

    def __init__(self, document: Json) -> None:
        self._paths: Json = document["paths"]
        self._components = document["components"]
        self._validators: dict[str, Any] = {}

    def describes(self, exchange: Exchange) -> bool:
        """Whether an answer is one of those that the document tells of."""
        operation = self._operation(exchange)
        if operation is None:
            return exchange.status in (204, 404, 405)
        answer = operation["responses"].get(str(exchange.status))
        if answer is None:
            # What a path parameter may be is in the path: another one has no operation.
            return exchange.status == 404 and "{" in self._template(exchange.path)
        contents = answer.get("content", {})
        if not contents:
            return not exchange.content
        any_subtype = f"{exchange.media_type.partition('/')[0]}/*"
        schema = contents.get(exchange.media_type, contents.get(any_subtype, {})).get("schema")
        if schema is None or not exchange.media_type.endswith(("/json", "+json")):
            return schema is not None
        if schema.get("format") == "binary":  # a file to download, whatever is in it
            return True
        return self._fits(exchange.content, schema)

    def allows(self, exchange: Exchange) -> bool:
        """Whether a body may be sent."""
        operation = self._operation(exchange)
        if operation is None:
            return exchange.method == "OPTIONS"
        if "requestBody" not in operation:
            return True
        content = operation["requestBody"]["content"].get("application/json")
        return content is None or self._fits(exchange.body, content["schema"])  # else a picture

    def _operation(self, exchange: Exchange) -> Json | None:
        operation: Json | None = self._paths.get(self._template(exchange.path), {}).get(
            exchange.method.lower()
        )
        return operation

    def _template(self, path: str) -> str:
        for template in sorted(self._paths, key=lambda text: (text.count("{"), -len(text))):
            pattern = re.sub(r"\\{\w+_id\\}", "[^/]+", re.escape(template)).replace(r"\{name\}", ".+")
            if re.fullmatch(pattern, path, re.DOTALL):
                return template
        return ""

    def _fits(self, content: bytes, schema: Json) -> bool:
        key = json.dumps(schema)
        if key not in self._validators:
            whole = schema | {"components": self._components}
            self._validators[key] = jsonschema_rs.validator_for(whole, validate_formats=True)
        try:
            value = json.loads(content)
        except ValueError:
            return False
        return bool(self._validators[key].is_valid(value))

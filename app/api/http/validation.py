"""Strict decoding of bodies and query strings, with errors in plain words that name the field."""

import re
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from ...domain.redaction import redact
from .problems import BAD_REQUEST, INVALID, ProblemError, ProblemType

T = TypeVar("T")

_MOST_SHOWN = 200  # characters

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
    "uuid": "a UUID",
    "null": "null",
}
_COMPARED = {">=": "at least", ">": "greater than", "<=": "at most", "<": "less than"}
_CHOICES = {
    "detector.type": "GET /detectors lists the detectors there are",
    "sampling.mode": "the modes are all, fps and keyframes",
    "restart.policy": "the policies are never, on_failure and always",
}


def decode_body(body: bytes, model: type[T]) -> T:
    """The body as a `model`. Raises ProblemError: 400 for what is no JSON, 422 for a value not allowed."""
    if b"\\u0000" in body:
        raise ProblemError(INVALID, "The body contains the character NUL (\\u0000), which cannot be stored.")
    try:
        return msgspec.json.decode(body, type=model)
    except msgspec.ValidationError as error:
        raise _explained(error, INVALID) from error
    except msgspec.DecodeError as error:
        raise ProblemError(
            BAD_REQUEST, f"The body is no valid JSON: {_located(str(error), body)}."
        ) from error
    except UnicodeDecodeError as error:
        raise ProblemError(BAD_REQUEST, "The body is no valid JSON: it is not UTF-8.") from error
    except RecursionError as error:
        raise ProblemError(BAD_REQUEST, "The body is nested too deeply to be a request.") from error


def decode_query(query: bytes, model: type[T]) -> T:
    """The query string as a `model`. Raises ProblemError: 400 for unknown, repeated or wrong parameters."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError as error:
        raise ProblemError(
            BAD_REQUEST, "The query string must be UTF-8, with at most 50 parameters."
        ) from error
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ProblemError(BAD_REQUEST, "A query parameter is given more than once.")
    if any("\0" in value for value in values.values()):
        raise ProblemError(BAD_REQUEST, "A query parameter contains the character NUL.")
    try:
        return msgspec.convert(values, model, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(error, BAD_REQUEST) from error


def _explained(error: msgspec.ValidationError, kind: ProblemType) -> ProblemError:
    message, _, place = str(error).partition(" - at `$")
    field = place.rstrip("`").removeprefix(".")
    if name := re.fullmatch(r"Object (?:missing required|contains unknown) field `(.+)`", message):
        field = f"{field}.{name[1]}" if field else name[1]
        sentence = "is missing" if "missing" in message else "is not known here; check its spelling"
    else:
        sentence = _sentence(message)
    # What a client sent may be an address with a password in it, or a megabyte.
    field, sentence = _shown(field), _shown(sentence)
    if field in _CHOICES and "missing" not in message:
        sentence = f"{sentence}: {_CHOICES[field]}"
    return ProblemError(kind, f"`{field}` {sentence}." if field else f"The body {sentence}.", field=field)


def _shown(text: str) -> str:
    text = redact(text)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _sentence(message: str) -> str:
    if wrong := re.fullmatch(r"Expected `(.+)`, got `(.+)`", message):
        return f"must be {_type(wrong[1])}, not {_type(wrong[2])}"
    if bound := re.fullmatch(r"Expected `(.+)` of length (>=|<=|==) (\d+)", message):
        count = {">=": "at least ", "<=": "at most ", "==": ""}[bound[2]] + bound[3]
        return f"must have {count} {'characters' if bound[1] == 'str' else 'entries'}"
    if bound := re.fullmatch(r"Expected `(.+)` (>=|>|<=|<) (.+)", message):
        return f"must be {_type(bound[1])} {_COMPARED[bound[2]]} {bound[3].removesuffix('.0')}"
    if wrong := re.fullmatch(r"Invalid (?:enum )?value (.+)", message):
        return f"may not be {wrong[1]}"
    return f"is wrong: {message[:1].lower()}{message[1:]}"


def _type(name: str) -> str:
    return " or ".join(_WORDS.get(part, part) for part in name.split(" | ") if part != "null") or "null"


def _located(message: str, body: bytes) -> str:
    message = message.removeprefix("JSON is malformed: ")
    if not (place := re.search(r" \(byte (\d+)\)$", message)):
        return "it is empty" if not body.strip() else "it ends too early"
    before = body[: int(place[1])]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    return f"{message[: place.start()]} at line {line}, column {column}"

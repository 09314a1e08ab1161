"""Decode bodies and query strings strictly, with errors in plain words that name the field."""

import json
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from ...domain.redaction import redact
from .choices import choices_of, fields_of
from .problems import BAD_REQUEST, INVALID, ProblemError, ProblemType

T = TypeVar("T")

_MARKS = {
    BOM_UTF32_LE: "UTF-32", BOM_UTF32_BE: "UTF-32",  # before UTF-16: one begins like the other
    BOM_UTF16_LE: "UTF-16", BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
_ZEROS = {
    (False, True, True, True): "UTF-32", (True, True, True, False): "UTF-32",
    (False, True): "UTF-16", (True, False): "UTF-16",
}  # fmt: skip
"""Which of the first bytes are zero in an encoding without a mark."""

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The character NUL in JSON: after an even number of backslashes, which stand for backslashes."""

_MAX_QUOTED = 200  # characters of a client's input in an error

_TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "object": "an object",
    "array": "an array",
    "uuid": "a UUID",
    "null": "null",
}
_COMPARISONS = {">=": "at least", ">": "greater than", "<=": "at most", "<": "less than"}
_CHOICES = {
    "detector.type": "GET /detectors lists all detectors",
    "sampling.mode": "the modes are all, fps and keyframes",
    "restart.policy": "the policies are never, on_failure and always",
}


def decode_body(body: bytes, model: type[T]) -> T:
    """Return the body as a `model`. Raises ProblemError: 400 if not JSON, 422 if a value is invalid."""
    body = body.removeprefix(BOM_UTF8)  # which some programs on Windows write
    if encoding := _foreign_encoding(body):
        detail = f"The body is encoded in {encoding}. Send it in UTF-8."
        raise ProblemError(BAD_REQUEST, detail)
    if _NUL.search(body):
        raise ProblemError(
            INVALID, "The body contains the character NUL (\\u0000), which cannot be stored. Remove it."
        )
    try:
        decoded = msgspec.json.decode(body, type=model)
        json.loads(body, object_pairs_hook=_check_names, parse_int=str, parse_float=str)
    except msgspec.ValidationError as error:
        raise _to_problem(error, model, INVALID, body) from error
    except msgspec.DecodeError as error:
        raise ProblemError(
            BAD_REQUEST, f"The body is not valid JSON: {_with_place(str(error), body)}."
        ) from error
    except UnicodeDecodeError as error:
        detail = "The body is not UTF-8, but perhaps Windows-1252 or ISO 8859-1. Send it in UTF-8."
        raise ProblemError(BAD_REQUEST, detail) from error
    except RecursionError as error:
        raise ProblemError(BAD_REQUEST, "The body is nested too deeply. Send a flatter one.") from error
    return decoded


def _check_names(pairs: list[tuple[str, Any]]) -> None:
    """Check that an object has each name once: of several values, all but one would be left out.

    Raises:
        ProblemError: one comes twice
    """
    if len(names := {name for name, _ in pairs}) < len(pairs):
        twice = next(name for name in names if sum(name == each for each, _ in pairs) > 1)
        field = _quoted(twice)
        raise ProblemError(INVALID, f"`{field}` is given more than once. Send it once.", field=field)


def _foreign_encoding(body: bytes) -> str | None:
    """Return the name of the encoding if it is not UTF-8 but one of at least two bytes per character."""
    for mark, name in _MARKS.items():
        if body.startswith(mark):
            return name
    # JSON begins with an ASCII character, and holds no zero bytes in UTF-8.
    zeros = tuple(byte == 0 for byte in body[:4])
    return _ZEROS.get(zeros) or _ZEROS.get(zeros[:2])


def decode_query(query: bytes, model: type[T]) -> T:
    """Return the query string as a `model`. Raises ProblemError (400) if a parameter is unknown or wrong."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError as error:
        raise ProblemError(
            BAD_REQUEST, "The query string must be UTF-8, with at most 50 parameters."
        ) from error
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ProblemError(BAD_REQUEST, "A query parameter is given more than once. Send each once.")
    if "" in values:
        raise ProblemError(BAD_REQUEST, "A query parameter has no name: look for `?=` or `&=`.")
    if any("\0" in value for value in values.values()):
        raise ProblemError(BAD_REQUEST, "A query parameter contains the character NUL. Remove it.")
    try:
        return msgspec.convert(values, model, strict=False)
    except msgspec.ValidationError as error:
        raise _to_problem(error, model, BAD_REQUEST) from error


def _to_problem(
    error: msgspec.ValidationError, model: type, kind: ProblemType, body: bytes = b""
) -> ProblemError:
    message, _, place = str(error).partition(" - at `$")
    field = place.rstrip("`").removeprefix(".")
    if name := re.fullmatch(r"Object (?:missing required|contains unknown) field `(.+)`", message):
        field = f"{field}.{name[1]}" if field else name[1]
        sentence = "is missing" if "missing" in message else "is not known; check its spelling"
        if "unknown" in message and "." in field and (known := fields_of(model, field, _holder(body, field))):
            sentence = f"is not known; choose from {', '.join(known)}"
    else:
        sentence = _sentence(message)
    # A client's input may contain a password in an address, or be a megabyte long.
    field, sentence = _quoted(field), _quoted(sentence)
    choice = _CHOICES.get(field.removeprefix("scenario."))
    if choice is not None and "missing" not in message:
        sentence = f"{sentence}: {choice}"
    elif message.startswith("Invalid enum value") and (choices := choices_of(model, field)):
        sentence = f"{sentence}; it must be one of {', '.join(choices)}"
    return ProblemError(kind, f"`{field}` {sentence}." if field else f"The body {sentence}.", field=field)


def _holder(body: bytes, field: str) -> dict[str, Any]:
    """Return the object that holds the field at this path."""
    value: Any = msgspec.json.decode(body) if body else None
    for name in re.findall(r"[^.\[\]]+", field)[:-1]:
        inner = value.get(name) if isinstance(value, dict) else None
        value = value[int(name)] if isinstance(value, list) and name.isdigit() else inner
    return value if isinstance(value, dict) else {}


def _quoted(text: str) -> str:
    text = redact(text)
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


def _sentence(message: str) -> str:
    if wrong := re.fullmatch(r"Expected `(.+)`, got `(.+)`", message):
        return f"must be {_type_name(wrong[1])}, not {_type_name(wrong[2])}"
    if bound := re.fullmatch(r"Expected `(.+)` of length (>=|<=|==) (\d+)", message):
        count = {">=": "at least ", "<=": "at most ", "==": ""}[bound[2]] + bound[3]
        unit = "character" if bound[1] == "str" else "item"
        return f"must have {count} {unit if bound[3] == '1' else f'{unit}s'}"
    if bound := re.fullmatch(r"Expected `(.+)` (>=|>|<=|<) (.+)", message):
        return f"must be {_type_name(bound[1])} {_COMPARISONS[bound[2]]} {bound[3].removesuffix('.0')}"
    if wrong := re.fullmatch(r"Invalid (?:enum )?value (.+)", message):
        return f"must not be {wrong[1]}"
    if message.startswith("Invalid RFC3339"):  # only fields that may be a number, too, are dates
        return "must be a number or a date, as in 2026-01-31T09:30:00Z"
    if message == "Expected `datetime` with a timezone component":
        return "must have a time zone, as in 2026-01-31T09:30:00Z"
    return f"is invalid: {message[:1].lower()}{message[1:]}"


def _type_name(name: str) -> str:
    return " or ".join(_TYPE_NAMES.get(part, part) for part in name.split(" | ") if part != "null") or "null"


def _with_place(message: str, body: bytes) -> str:
    message = message.removeprefix("JSON is malformed: ")
    if not (place := re.search(r" \(byte (\d+)\)$", message)):
        return "it is empty" if not body.strip() else "it ends too early"
    before = body[: int(place[1])]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    return f"{message[: place.start()]} at line {line}, column {column}"

"""What a detector's configuration says of itself: GET /detectors shows it."""

import re
from inspect import getdoc
from typing import Any

import msgspec
from msgspec import Struct, inspect


class ConfigDocs(Struct, frozen=True):
    """What the detector finds, the labels that it gives, and a configuration with every default."""

    description: str
    labels: str
    example: dict[str, Any]


def docs_of(config: type[Struct]) -> ConfigDocs:
    """Return what the docstring and the fields of a configuration say.

    Raises:
        TypeError: the docstring does not tell its labels, or a field has neither default nor example
    """
    # The docstring says what the detector finds, then "Label: …." or "Labels: ….", then anything else.
    parts = re.fullmatch(
        r"(?P<finds>.+?) Labels?: (?P<labels>.+?)\.(?P<more>\s.+)?", getdoc(config) or "", re.DOTALL
    )
    if parts is None:
        raise TypeError(
            "its docstring does not say which labels it gives: after what it finds, write `Label: …`"
        )
    description = " ".join((parts["finds"] + (parts["more"] or "")).split())
    return ConfigDocs(description, " ".join(parts["labels"].split()), _example(config))


def _example(config: type[Struct]) -> dict[str, Any]:
    info = inspect.type_info(config)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - as the argument's type says
    required = {field.encode_name: _first_example(field) for field in info.fields if field.required}
    tag = {info.tag_field: info.tag} if info.tag_field else {}
    example: dict[str, Any] = msgspec.to_builtins(msgspec.convert(tag | required, config))
    return example


def _first_example(field: inspect.Field) -> Any:
    extra = field.type.extra_json_schema if isinstance(field.type, inspect.Metadata) else None
    if not extra or not extra.get("examples"):
        raise TypeError(
            f"its field {field.encode_name} has neither a default nor an example:"
            " give it one, or Meta(examples=[…])"
        )
    return extra["examples"][0]

"""The detectors that look at pictures, and their options."""

from collections.abc import Iterator
from inspect import cleandoc
from typing import Any, NamedTuple, get_args

import msgspec
from msgspec import Struct
from msgspec.inspect import ListType, UnionType, VarTupleType, type_info

from ...domain.detector_config import DetectorConfig

CONFIGS: dict[str, type[Struct]] = {
    config.__struct_config__.tag: config
    for config in get_args(DetectorConfig)
    if config.__struct_config__.tag != "stored"
}
"""The configuration of each detector that looks at pictures, by name."""


class DetectorOption(NamedTuple):
    """An option as it is shown: its default, and what it does or which values it may have."""

    name: str
    default: str
    meaning: str


def description_of(detector: str) -> str:
    """Return what a detector finds."""
    return " ".join(cleandoc(CONFIGS[detector].__doc__ or "").split())


def options_of(detector: str) -> Iterator[DetectorOption]:
    """Yield the options of a detector, in the order of its configuration."""
    (reference,), schemas = msgspec.json.schema_components((CONFIGS[detector],), ref_template="{name}")
    schema = schemas[reference["$ref"]]
    for name, each in schema["properties"].items():
        if name != "type":
            is_required = name in schema.get("required", ())
            default = "(required)" if is_required else _text(each.get("default"))
            yield DetectorOption(name, default, each.get("description") or ", ".join(_choices(each)))


def _text(default: object) -> str:
    if default is None:
        return ""
    return ",".join(map(str, default)) if isinstance(default, list | tuple) else str(default)


def _choices(schema: dict[str, Any]) -> list[str]:
    inner = [*([schema["items"]] if schema.get("items") else ()), *schema.get("anyOf", ())]
    return [*map(str, schema.get("enum", ())), *(value for each in inner for value in _choices(each))]


def list_fields(config: type[Struct]) -> set[str]:
    """Return the names of the options that are lists."""
    return {field.name for field in msgspec.structs.fields(config) if _is_list(type_info(field.type))}


def _is_list(info: Any) -> bool:
    info = getattr(info, "type", info) if type(info).__name__ == "Metadata" else info
    if isinstance(info, UnionType):
        return any(map(_is_list, info.types))
    return isinstance(info, ListType | VarTupleType)

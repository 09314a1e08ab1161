"""The values that a field of a request may have, so that an error can list them."""

import re
from collections.abc import Iterator, Mapping
from functools import cache

from msgspec import inspect


def choices_of(model: type, field: str) -> list[str]:
    """Return the values of the field at this path, such as `detector.codes[0]`; [] if it is no choice.

    If the field has several types, these are the values of all of them.
    """
    kinds = [_type_of(model)]
    for name in re.findall(r"[^.\[\]]+", field):
        kinds = [inner for kind in kinds for inner in _inside(kind, name)]
    return [value for kind in kinds for value in _values(kind)]


def fields_of(model: type, field: str, given: Mapping[str, object]) -> list[str]:
    """Return the names beside the field at this path; [] if they are not certain.

    `given` is the object that holds it, whose tag tells which of several Structs it is.
    """
    kinds = [_type_of(model)]
    for name in re.findall(r"[^.\[\]]+", field)[:-1]:
        kinds = [inner for kind in kinds for inner in _inside(kind, name)]
    singles = [each for kind in kinds for each in _single(kind)]
    structs = {each.cls: each for each in singles if isinstance(each, inspect.StructType)}
    chosen = [each for each in structs.values() if given.get(each.tag_field or "") == each.tag]
    return [each.encode_name for each in chosen[0].fields] if len(chosen) == 1 else []


def _single(kind: inspect.Type) -> Iterator[inspect.Type]:
    """Return the types of a union, each without what is said of it."""
    if isinstance(kind, inspect.Metadata):
        yield from _single(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _single(each)
    else:
        yield kind


@cache
def _type_of(model: type) -> inspect.Type:
    return inspect.type_info(model)


def _inside(kind: inspect.Type, name: str) -> Iterator[inspect.Type]:
    """Return the types that the field or the item of this name can have."""
    for each in _single(kind):
        if isinstance(each, inspect.StructType):
            yield from (field.type for field in each.fields if field.encode_name == name)
        elif isinstance(each, inspect.CollectionType):
            yield each.item_type


def _values(kind: inspect.Type) -> Iterator[str]:
    for each in _single(kind):
        if isinstance(each, inspect.LiteralType):
            yield from map(str, each.values)
        elif isinstance(each, inspect.EnumType):
            yield from (str(member.value) for member in each.cls)

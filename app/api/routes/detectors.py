"""Read the detectors: which there are, and how each is configured."""

import re
from inspect import cleandoc, getdoc
from typing import Annotated, Any, get_args

import msgspec
from litestar import get
from msgspec import Meta, Struct

from ...domain.detector_config import DetectorConfig
from ..http.openapi import OperationDoc, ResponseDoc

# What an example needs besides the defaults.
_REQUIRED = {"onnx": {"model": "yolov8n.onnx"}, "remote": {"url": "https://gpu:8000/v2/models/yolo"}}


class DetectorInfo(Struct, frozen=True):
    """One detector: its name is the `type` of a scenario's `detector`."""

    name: str
    description: str
    labels: Annotated[str, Meta(description="the labels of what it finds")]
    config_schema: Annotated[dict[str, Any], Meta(description="JSON Schema of its configuration")]
    example: Annotated[dict[str, Any], Meta(description="a configuration, with every default")]


class DetectorList(Struct, frozen=True):
    """All detectors."""

    items: list[DetectorInfo]


def _describe(config: type[Struct]) -> DetectorInfo:
    name = str(config.__struct_config__.tag)
    # Each docstring says what the detector finds, then "Label: …." or "Labels: ….", then anything else.
    parts = re.fullmatch(
        r"(?P<finds>.+?) Labels?: (?P<labels>.+?)\.(?P<more>\s.+)?", getdoc(config) or "", re.DOTALL
    )
    if parts is None:
        raise TypeError(f"the docstring of {config.__name__} does not say which labels it gives")
    _, schemas = msgspec.json.schema_components((config,))
    schema = schemas.pop(config.__name__) | {"description": cleandoc(config.__doc__ or "")}
    if schemas:
        schema["$defs"] = schemas
    return DetectorInfo(
        name=name,
        description=" ".join((parts["finds"] + (parts["more"] or "")).split()),
        labels=parts["labels"],
        config_schema=schema,
        example=msgspec.to_builtins(config(**_REQUIRED.get(name, {}))),
    )


DETECTORS = DetectorList([_describe(config) for config in get_args(DetectorConfig)])


@get(
    "/detectors",
    doc=OperationDoc(
        id="listDetectors",
        tag="service",
        summary="List the detectors and their configuration",
        responses={200: ResponseDoc("The detectors.", DetectorList, DetectorList(DETECTORS.items[:1]))},
    ),
)
async def get_detectors() -> DetectorList:
    """Return the detectors, the same in every process of one version."""
    return DETECTORS

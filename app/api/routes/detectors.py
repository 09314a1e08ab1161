"""Read the detectors: which there are, and how each is configured."""

from inspect import cleandoc
from typing import Annotated, Any, get_args

import msgspec
from litestar import get
from msgspec import Meta, Struct

from ...domain.config_docs import docs_of
from ...domain.detector_config import PLUGINS, DetectorConfig
from ..http.openapi import OperationDoc, ResponseDoc


class DetectorInfo(Struct, frozen=True):
    """One detector: its name is the `type` of a scenario's `detector`."""

    name: str
    description: str
    labels: Annotated[str, Meta(description="the labels of what it finds")]
    config_schema: Annotated[dict[str, Any], Meta(description="JSON Schema of its configuration")]
    example: Annotated[dict[str, Any], Meta(description="a configuration, with every default")]
    package: Annotated[
        str | None, Meta(description="name and version of the package that adds it; null: the service's own")
    ]


class DetectorList(Struct, frozen=True):
    """All detectors of this process. Others may have other plug-ins."""

    items: list[DetectorInfo]
    faults: Annotated[list[str], Meta(description="plug-ins that cannot be used, and why")]


def _describe(config: type[Struct]) -> DetectorInfo:
    name = str(config.__struct_config__.tag)
    docs = docs_of(config)
    (reference,), schemas = msgspec.json.schema_components((config,), ref_template="{name}")
    schema = schemas.pop(reference["$ref"]) | {"description": cleandoc(config.__doc__ or "")}
    if schemas:
        schema["$defs"] = schemas
    return DetectorInfo(name, docs.description, docs.labels, schema, docs.example, PLUGINS.packages.get(name))


DETECTORS = DetectorList(
    [_describe(config) for config in get_args(DetectorConfig)], [*PLUGINS.faults.values()]
)


@get(
    "/detectors",
    doc=OperationDoc(
        id="listDetectors",
        tag="service",
        summary="List the detectors and their configuration",
        responses={200: ResponseDoc("The detectors.", DetectorList, DetectorList(DETECTORS.items[:1], []))},
    ),
)
async def get_detectors() -> DetectorList:
    """Return the detectors, the same as long as the process runs."""
    return DETECTORS

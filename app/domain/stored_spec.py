"""Specifications as JSON: on the bus, and in the scenarios database.

A request is decoded strictly. What is stored or on the bus may come from a newer version: it is passed on as
it is, and a field that this version does not know is ignored when it is decoded.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct, inspect
from msgspec.structs import replace

from .analysis import AnalysisRules, Presence, Tracking
from .spec import RestartPolicy, ScenarioSpec, default_presence, default_tracking


class DetectorSummary(Struct, frozen=True):
    """The name of a detector, and whether something is stated of its model."""

    type: str = ""
    layout: Any = None
    input: Any = None
    names: Any = None

    @property
    def states_model(self) -> bool:
        return not (self.layout is None and self.input is None and self.names is None)


class SpecSummary(Struct, frozen=True):
    """The parts of a specification that say how it is driven, whatever version it is of."""

    source: str = ""
    detector: DetectorSummary = DetectorSummary()
    restart: RestartPolicy = RestartPolicy()
    track: int | None = None
    aspect: Any = None
    recorded_at: Any = None
    file: Any = None
    tracking: Any = None
    presence: Any = None
    zones: Any = ()
    lines: Any = ()
    alerts: Any = ()
    notify: Any = None

    @property
    def has_analysis(self) -> bool:
        """Whether detections become tracks or events."""
        switched_on = self.tracking is not None or self.presence is not None
        return switched_on or bool(self.zones or self.lines or self.alerts)


_encoder = msgspec.json.Encoder()
# Fields that release 0.1.0, which rejects unknown ones, does not have. Their defaults mean what it does.
_LATER = frozenset(
    {"track", "aspect", "recorded_at", "file", "tracking", "presence", "zones", "lines", "alerts", "notify"}
)
_TYPES: dict[type, inspect.Type] = {}


def encode_spec(spec: ScenarioSpec) -> Raw:
    """Return the specification as JSON. Release 0.1.0 can read one that asks for nothing newer."""
    fields = {name: getattr(spec, name) for name in spec.__struct_fields__}
    for name in _LATER:
        if fields[name] in (None, ()):
            del fields[name]
    return Raw(_encoder.encode(fields))


def decode_spec(text: str | bytes | Raw) -> ScenarioSpec:
    """Return the specification in stored JSON, without the fields that this version does not know.

    Raises msgspec.ValidationError if this version cannot understand it, such as an unknown detector.
    """
    spec: ScenarioSpec = _decode(text, ScenarioSpec)
    return spec


def summarize_spec(text: str | bytes | Raw) -> SpecSummary:
    """Return how a specification is driven. Raises msgspec.ValidationError as `decode_spec` does."""
    summary: SpecSummary = _decode(text, SpecSummary)
    return summary


def same_specs(stored: Raw, sent: Raw) -> bool:
    """Return whether a request repeats a stored specification; defaults may be spelled out in one only.

    A request is also a repeat if it differs only in tracking and presence that are new defaults: release
    0.1.0 stored it without them, and a version after it with both.
    """
    try:
        known, wanted = decode_spec(stored), decode_spec(sent)
    except msgspec.ValidationError:  # of a newer version
        return bool(msgspec.json.decode(stored) == msgspec.json.decode(sent))
    tracking = default_tracking(wanted.detector)
    if (wanted.tracking, wanted.presence) == (tracking, default_presence(wanted.detector, tracking)):
        has_both = (known.tracking, known.presence) == (Tracking(), Presence())
        if known.rules == AnalysisRules() or (tracking is not None and has_both):
            wanted = replace(wanted, tracking=known.tracking, presence=known.presence)
    return known == wanted


def _decode(text: str | bytes | Raw, model: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=model)
    except msgspec.ValidationError:
        if model not in _TYPES:
            _TYPES[model] = inspect.type_info(model)
        return msgspec.convert(_known(msgspec.json.decode(text), _TYPES[model]), model)


def _known(value: object, kind: inspect.Type) -> object:
    """Return the value without object fields that its type does not have."""
    while isinstance(kind, inspect.Metadata):  # a description
        kind = kind.type
    if isinstance(value, dict):
        struct = _struct_of(value, kind)
        if struct is not None:
            types = {field.encode_name: field.type for field in struct.fields}
            tag = {struct.tag_field} if struct.tag_field else set()
            return {
                name: _known(part, types[name]) if name in types else part
                for name, part in value.items()
                if name in types or name in tag
            }
    if isinstance(value, list) and isinstance(kind, inspect.CollectionType):
        return [_known(part, kind.item_type) for part in value]
    return value


def _struct_of(value: dict[str, Any], kind: inspect.Type) -> inspect.StructType | None:
    """Return the Struct that the object is decoded as, or None if it is of no Struct that is known."""
    for each in kind.types if isinstance(kind, inspect.UnionType) else (kind,):
        if isinstance(each, inspect.StructType) and (
            each.tag_field is None or value.get(each.tag_field) == each.tag
        ):
            return each
    return None

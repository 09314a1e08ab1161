"""What a scenario asks of analysis: tracking, zones, lines, presence and alerts, and whom to notify."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

MAX_RULES = 32
"""Zones, lines and alerts that a scenario may have of each."""

MAX_GAP_SECONDS = 60
"""For which an object or a label may be unseen."""

_Gap = Annotated[float, Meta(ge=0.1, le=MAX_GAP_SECONDS)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
RuleName = Annotated[str, Meta(min_length=1, max_length=100)]
Point = Annotated[tuple[Fraction, Fraction], Meta(description="x, y as fractions of the upright picture")]
Side = Literal["left", "right"]


class _RequestObject(Struct, frozen=True, forbid_unknown_fields=True):
    """Unknown fields are rejected, so that a misspelt option is not ignored."""


class Tracking(_RequestObject, frozen=True):
    """How objects are followed from frame to frame.

    An object that is not found for longer than `max_gap_seconds` has left; one that comes later is another.
    """

    max_gap_seconds: _Gap = 2.0
    min_confidence: Annotated[
        Fraction, Meta(description="a new object is followed only if it is found with this confidence")
    ] = 0.3


class Presence(_RequestObject, frozen=True):
    """When each label is visible, by whatever objects; of up to 64 labels.

    A label that is not found for longer than `max_gap_seconds` has gone; when it is found again, that is
    another event.
    """

    max_gap_seconds: _Gap = 2.0


class Zone(_RequestObject, frozen=True):
    """An area of the picture. An object is in it if the anchor of its box is.

    With `ignore`, what stands in it belongs to no object and no event: trees, or a screen that shows people.
    """

    name: RuleName
    polygon: Annotated[tuple[Point, ...], Meta(min_length=3, max_length=64)]
    anchor: Annotated[
        Literal["bottom", "center"],
        Meta(description="of the box: the middle of its lower edge, or its middle"),
    ] = "bottom"
    ignore: bool = False


class Line(_RequestObject, frozen=True):
    """A line that objects cross to the `left` or to the `right`, seen along it from `from` to `to`."""

    name: RuleName
    start: Point = field(name="from")
    end: Point = field(name="to")


class Alert(_RequestObject, frozen=True):
    """A rule that fires once for each stay in the picture or in a zone, or crossing of a line, that meets it.

    Without a zone or a line, the stay is the object's in the picture, or without tracking the time for which
    a label is visible. After it fired, it is silent for `cooldown_seconds` of the video; a stay that goes on
    then fires afterwards.
    """

    name: RuleName
    labels: Annotated[
        Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)] | None,
        Meta(description="only for objects with one of these labels; null: any"),
    ] = None
    zone: RuleName | None = None
    line: RuleName | None = None
    direction: Annotated[Side | None, Meta(description="of the crossing; null: both")] = None
    min_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    min_confidence: Fraction = 0.0
    cooldown_seconds: Annotated[float, Meta(ge=0, le=86_400)] = 0.0


class Notify(_RequestObject, frozen=True):
    """Who is told of events. Channels are those of the operator's file, by name."""

    channels: Annotated[tuple[RuleName, ...], Meta(min_length=1, max_length=16)]
    on: Annotated[
        tuple[Literal["object", "zone", "line", "presence", "alert"], ...], Meta(min_length=1, max_length=5)
    ] = ("alert",)
    recordings: Annotated[bool, Meta(description="also of recordings, not only of live sources")] = False


class AnalysisRules(Struct, frozen=True):
    """The parts of a specification on which tracks and events depend."""

    tracking: Tracking | None = None
    presence: Presence | None = None
    zones: tuple[Zone, ...] = ()
    lines: tuple[Line, ...] = ()
    alerts: tuple[Alert, ...] = ()

    @property
    def may_have_evidence(self) -> bool:
        """Whether events can be of the kinds of which a live source keeps pictures."""
        return self.tracking is not None or bool(self.alerts)

"""The specification of a scenario: a source, a detector, how frames are sampled, and when to restart.

These Structs are the JSON that a client posts, what the scenarios database stores, and what a runner gets.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from .analysis import MAX_RULES, Alert, AnalysisRules, Line, Notify, Presence, Tracking, Zone
from .detector_config import DetectorConfig, Marker, Mock, Motion, Onnx, Remote
from .sampling import FixedRate, Sampling


class _RequestObject(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the objects in a request body. Unknown fields are rejected, so that a typo is not ignored."""


class RestartPolicy(_RequestObject, frozen=True):
    """When a scenario whose run failed or was lost is started again.

    `on_failure` gives up after `max_restarts` attempts in a row that stored nothing new; an attempt that
    stores a frame resets the count. `always` never gives up; it is for live sources only.
    """

    policy: Literal["never", "on_failure", "always"] = "on_failure"
    max_restarts: Annotated[int, Meta(ge=0, le=1000)] = 5


class ExpectedFile(_RequestObject, frozen=True):
    """Which recording it must be. Batches state it, so that no other file is analysed under its name."""

    size: Annotated[int, Meta(ge=0, description="in bytes")]
    digest: Annotated[
        Annotated[str, Meta(max_length=64)] | None,
        Meta(description="SHA-256 of samples of its content, as a batch computes it"),
    ] = None


class ScenarioSpec(_RequestObject, frozen=True):
    """A scenario as the client specified it. It never changes: to change it, create another scenario."""

    source: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2000,
            description="a path below VA_MEDIA_ROOT, an rtsp, rtsps, http or https URL, `test:<pattern>`, or"
            " `scenario:<id>`: what another scenario stored",
        ),
    ]
    detector: DetectorConfig
    sampling: Annotated[
        Sampling | None, Meta(description="null: the frames that the source has stored, of a `scenario:<id>`")
    ] = FixedRate()
    restart: RestartPolicy = RestartPolicy()
    track: Annotated[
        Annotated[int, Meta(ge=0, le=99)] | None,
        Meta(
            description="which of several video tracks is analysed, counted from 0 as in `media.tracks`;"
            " null: the one that a player would choose"
        ),
    ] = None
    aspect: Annotated[
        str | None,
        Meta(
            description="width by height of the picture on a screen, as in `16:9`, if the source declares a"
            " wrong one; null: as the source declares. Boxes do not depend on it",
            examples=["16:9"],
        ),
    ] = None
    name: Annotated[str, Meta(max_length=200, description="for people; need not be unique")] = ""
    recorded_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | None,
        Meta(
            description="the date at which a recording begins, as in 2026-01-31T09:30:00Z; its events then"
            " have `at`"
        ),
    ] = None
    file: Annotated[
        ExpectedFile | None, Meta(description="the recording that `source` must be: another one fails")
    ] = None
    tracking: Annotated[
        Tracking | None, Meta(description="how objects are followed from frame to frame; null: they are not")
    ] = None
    presence: Annotated[
        Presence | None, Meta(description="tell from when to when each label is visible; null: do not")
    ] = None
    zones: Annotated[tuple[Zone, ...], Meta(max_length=MAX_RULES)] = ()
    lines: Annotated[tuple[Line, ...], Meta(max_length=MAX_RULES)] = ()
    alerts: Annotated[tuple[Alert, ...], Meta(max_length=MAX_RULES)] = ()
    notify: Annotated[Notify | None, Meta(description="who is told of events; null: nobody")] = None

    @property
    def rules(self) -> AnalysisRules:
        """The parts on which tracks and events depend."""
        return AnalysisRules(self.tracking, self.presence, self.zones, self.lines, self.alerts)


def default_tracking(detector: DetectorConfig) -> Tracking | None:
    """Return the tracking of a scenario whose request does not name it: on if the detector finds objects."""
    return Tracking() if _finds_labels(detector) and not _is_classifier(detector) else None


def default_presence(detector: DetectorConfig, tracking: Tracking | None) -> Presence | None:
    """Return the presence of a scenario whose request does not name it.

    It is off if objects are followed: each is an event already, and nobody wants to be told of it twice.
    """
    return Presence() if tracking is None and _finds_labels(detector) else None


def _finds_labels(detector: DetectorConfig) -> bool:
    return not isinstance(detector, Motion | Marker | Mock)


def _is_classifier(detector: DetectorConfig) -> bool:
    """Return whether it is known to find a label for the whole picture, and no objects."""
    return isinstance(detector, Onnx | Remote) and detector.layout == "classifier"

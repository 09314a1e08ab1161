"""What a tracker knows between two frames. msgspec encodes it without loss."""

from dataclasses import dataclass, field

from msgspec import Struct

from ...domain.prediction import Box
from .kalman import Filter


class Sighting(Struct, frozen=True, gc=False):
    """A detection of an object. `time` is in seconds."""

    frame: int
    time: float
    label: str
    confidence: float
    box: Box


@dataclass(slots=True)
class Track:
    """One object that is followed.

    It has an id from its confirmation on, and `sightings` only before. `unseen` and `missed`: the seconds and
    frames for which it was not found.
    """

    track_id: int | None
    label: str
    filter: Filter
    sightings: list[Sighting]
    unseen: float = 0.0
    missed: int = 0


@dataclass(slots=True)
class Swing:
    """How much the camera moves from frame to frame: mean squares, in pixels."""

    x_x: float = 0.0
    y_y: float = 0.0


@dataclass(slots=True)
class TrackerState:
    """The objects that are followed, and the last frame's time (seconds) and size (width, height).

    The size is (0, 0) as long as none was known.
    """

    tracks: list[Track] = field(default_factory=list)
    time: float | None = None
    size: tuple[int, int] = (0, 0)
    swing: Swing = field(default_factory=Swing)

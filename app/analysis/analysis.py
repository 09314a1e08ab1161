"""One scenario's analysis: what each frame changes in its tracks and events."""

from typing import Literal, Protocol

from msgspec import Struct

from ..domain.event import Carried, Event
from ..domain.prediction import Detection


class UnreadableStateError(ValueError):
    """A saved state of analysis is damaged, or of a version that is not known."""


class Step(Struct, frozen=True):
    """What one frame changes: its detections with track ids, and the events that are new or changed."""

    detections: tuple[Detection, ...]
    events: tuple[Event, ...] = ()


class Analysis(Protocol):
    """Sees a scenario's frames in order. Pure: no clock, no I/O, and the same on every machine.

    Created from `AnalysisRules`, `Carried` and a saved state (None: the beginning), for which it raises
    UnreadableStateError.
    """

    def step(self, frame: int, time: float, size: tuple[int, int], detections: tuple[Detection, ...]) -> Step:
        """Take the next frame: its ordinal, time in seconds, (width, height), and detections as stored.

        Two frames may have one time. Frames without detections must come too; frames with an error do not.
        """

    def end(self, state: Literal["ended", "interrupted"]) -> tuple[Event, ...]:
        """Return the open events as `ended` or `interrupted`, at the last time that was seen."""

    def save(self) -> bytes:
        """Return the state, from which an analysis goes on with the same results."""

    @property
    def carried(self) -> Carried:
        """What is kept apart from the state."""

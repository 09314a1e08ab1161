"""What goes on: an object in the picture or in a zone, or a label that is visible."""

from collections.abc import Sequence

from msgspec import Struct

from ..domain.event import Event, EventKind, EventState
from ..domain.prediction import Box, Detection
from .tracking.state import Sighting

ROUNDING = 1e-6
"""Seconds by which a sum of differences of times may be wrong."""

Seen = Detection | Sighting
"""What is seen in a frame, which is known besides."""


def score_of(seen: Seen) -> float:
    """Return how well something is seen: confidence times area of the box."""
    x1, y1, x2, y2 = seen.box
    return seen.confidence * ((x2 - x1) * (y2 - y1))


class SavedStay(Struct, array_like=True):
    """A stay as it is saved: the arguments of `Stay`."""

    event_id: int
    kind: EventKind
    label: str
    track_id: int | None
    name: str | None
    start_frame: int
    start_time: float
    end_frame: int
    end_time: float
    best_frame: int
    best_time: float
    best_box: Box
    best_confidence: float
    score: float
    confidence: float
    away: float
    fired: list[str]


class Stay:
    """An event that goes on. It is seen best if confidence times area of its box is largest, and first.

    `score` is that product, and `confidence` the highest so far. `away`: seconds for which it has not been
    seen. `fired`: names of the alert rules that it has met. No Struct, whose fields take five times as long
    to set (measured): a dozen stays are seen in each frame.
    """

    __slots__ = SavedStay.__struct_fields__

    def __init__(
        self,
        event_id: int,
        kind: EventKind,
        label: str,
        track_id: int | None,
        name: str | None,
        start_frame: int,
        start_time: float,
        end_frame: int,
        end_time: float,
        best_frame: int,
        best_time: float,
        best_box: Box,
        best_confidence: float,
        score: float,
        confidence: float,
        away: float = 0.0,
        fired: Sequence[str] = (),
    ) -> None:
        self.event_id = event_id
        self.kind = kind
        self.label = label
        self.track_id = track_id
        self.name = name
        self.start_frame = start_frame
        self.start_time = start_time
        self.end_frame = end_frame
        self.end_time = end_time
        self.best_frame = best_frame
        self.best_time = best_time
        self.best_box = best_box
        self.best_confidence = best_confidence
        self.score = score
        self.confidence = confidence
        self.away = away
        self.fired = list(fired)

    def see(self, frame: int, time: float, seen: Seen, score: float) -> None:
        """Take what is seen of it in a frame, and its score."""
        self.end_frame = frame
        self.end_time = time
        self.away = 0.0
        confidence = seen.confidence
        if confidence > self.confidence:
            self.confidence = confidence
        if score > self.score:
            self.score = score
            self.best_frame = frame
            self.best_time = time
            self.best_box = seen.box
            self.best_confidence = confidence

    def is_over(self, looked: float, max_gap: float) -> bool:
        """Return whether it has ended if it is not seen for `looked` more seconds; else count these."""
        away = self.away + looked
        if away - ROUNDING > max_gap:
            return True
        self.away = away
        return False

    def as_event(self, state: EventState) -> Event:
        """Return it as it is known now."""
        return Event(
            self.event_id,
            self.kind,
            state,
            self.label,
            self.track_id,
            self.name,
            None,
            self.start_frame,
            self.start_time,
            self.end_frame,
            self.end_time,
            self.best_frame,
            self.best_time,
            self.best_box,
            self.best_confidence,
        )

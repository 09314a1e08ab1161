"""Detections of boxes that move as a test says, and what analysis makes of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from app.analysis.analysis import Analysis
from app.domain.analysis import AnalysisRules
from app.domain.event import Event
from app.domain.prediction import Detection, Prediction
from app.predictions.codec import encode

SIZE = (1000, 1000)
Shown = tuple[float, Sequence[Detection]]
"""The time of a frame in seconds, and what is found in it."""


def rules(**fields: Any) -> AnalysisRules:
    """Rules as in a request, with tracking unless the fields say otherwise."""
    return msgspec.convert({"tracking": {}, **fields}, AnalysisRules)


def at(
    x: float, bottom: float, label: str = "person", confidence: float = 0.9, height: float = 200.0
) -> Detection:
    """A box, half as wide as high, whose lower edge has its middle here, in thousandths of the picture."""
    return Detection(label, confidence, (x - height / 4, bottom - height, x + height / 4, bottom))


def walk(places: Iterable[tuple[float, float]], *, start: float = 0.0, fps: float = 10.0) -> list[Shown]:
    """Frames that show one object at these places, one after the other."""
    return [(start + n / fps, (at(*place),)) for n, place in enumerate(places)]


def between(one: tuple[float, float], other: tuple[float, float], steps: int) -> list[tuple[float, float]]:
    """Places on the way from one to the other, both included."""
    (x1, y1), (x2, y2) = one, other
    return [(x1 + (x2 - x1) * n / (steps - 1), y1 + (y2 - y1) * n / (steps - 1)) for n in range(steps)]


def events_of(analysis: Analysis, frames: Iterable[Shown], *, first: int = 0) -> list[Event]:
    """All events as they are after these frames, by number."""
    known: dict[int, Event] = {}
    for n, (time, detections) in enumerate(frames, first):
        for event in analysis.step(n, time, SIZE, detections).events:
            known[event.event_id] = event
    return [known[number] for number in sorted(known)]


def told(events: Iterable[Event], kind: str) -> list[tuple[str | None, str, float, float]]:
    """Of the events of a kind: name, state, start and end."""
    return [
        (event.name, event.state, round(event.start_time, 3), round(event.end_time, 3))
        for event in events
        if event.kind == kind
    ]


def stored_row(frame: Prediction) -> dict[str, Any]:
    """The row of a frame, with the columns that analysis reads, as the database returns it."""
    one = encode([frame])
    ids = [detection.track_id for detection in frame.detections]
    return {
        "frame": frame.frame,
        "time": frame.time,
        "labels": one.labels[:-1],
        "confidences": one.confidences,
        "boxes": one.boxes,
        "track_ids": ids if one.track_ids else None,
        "error": frame.error,
    }

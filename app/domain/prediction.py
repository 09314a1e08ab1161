"""What a detector finds in a frame, and what is stored for it."""

from msgspec import Struct

DETECTOR_FAILED = "the detector failed: "
"""What a prediction's error begins with, where its frame could be decoded."""


class Detection(Struct, frozen=True):
    """One thing found: `box` is x1, y1, x2, y2 in pixels of the source frame; `confidence` is 0 to 1."""

    label: str
    confidence: float
    box: tuple[float, float, float, float]
    track_id: int | None = None


class Prediction(Struct, frozen=True):
    """What is stored for one sampled frame: its detections, or the error for which it has none."""

    frame: int
    time: float
    detections: tuple[Detection, ...] = ()
    error: str | None = None

"""What passes between the runner's stages: pictures, detections, and one prediction a frame."""

from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Image = NDArray[np.uint8]

DETECTOR_FAILED = "the detector failed: "
"""What a prediction's error begins with, where its frame could be decoded."""


class Picture(Protocol):
    """One decoded frame. Conversions are made when asked for, in the thread that asks."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def gray(self, size: tuple[int, int] | None = None) -> Image:
        """Brightness, shape (height, width), at `size` (width, height) where given. Not to be written to."""

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        """Colour, shape (height, width, 3), blue first, at `size` (width, height) where given."""


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

"""What a detector finds in a frame, and what is stored of that frame. The API returns it as JSON."""

from typing import Annotated

from msgspec import Meta, Struct

DETECTOR_FAILED = "the detector failed: "
"""How a prediction's error begins if the frame was decoded, but the detector raised."""

MAX_CLASS_ID = 65_534
"""The largest class number that is stored; the next one stands for "none"."""

Box = Annotated[
    tuple[float, float, float, float], Meta(description="x1, y1, x2, y2 in pixels of the source frame")
]


class Detection(Struct, frozen=True, gc=False):
    """One thing found in a frame. `confidence` is 0 to 1."""

    label: str
    confidence: float
    box: Box
    track_id: int | None = None
    class_id: Annotated[
        int | None,
        Meta(description="number of the label's class in the detector's model; null if it has no classes"),
    ] = None


class FrameSize(Struct, frozen=True):
    """From `frame` on, pictures are `width` x `height`, upright. Both are 0 if that is not known."""

    frame: int
    width: int
    height: int


class Prediction(Struct, frozen=True, gc=False, omit_defaults=True):
    """One sampled frame. `frame` is its ordinal in the recording, from 0; `time` is in seconds.

    `width` and `height` are what its boxes are in. They are left out if they are not known.
    """

    frame: int
    time: float
    detections: tuple[Detection, ...]
    error: Annotated[str | None, Meta(description="only if the frame could not be analysed")] = None
    width: Annotated[int | None, Meta(description="of the upright frame, in pixels")] = None
    height: Annotated[int | None, Meta(description="of the upright frame, in pixels")] = None

"""What opening a source finds out about its video."""

from msgspec import Struct


class Media(Struct, frozen=True):
    """Properties of a video. Those with a default are null if they are unknown.

    `width` and `height` are of the picture after rotation, in pixels; `fps` is the average frame rate.
    """

    width: int
    height: int
    fps: float | None = None
    frames: int | None = None
    duration_seconds: float | None = None
    live: bool = False

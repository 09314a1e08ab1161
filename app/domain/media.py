"""What opening a source told about it."""

from msgspec import Struct


class Media(Struct, frozen=True):
    """What opening a source told about it. `frames` and `duration_seconds` are null where unknown."""

    width: int
    height: int
    fps: float | None = None
    frames: int | None = None
    duration_seconds: float | None = None
    live: bool = False

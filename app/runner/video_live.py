"""Live sources: received frames, and reconnection when they stop coming."""

from collections.abc import Iterator
from threading import Event
from typing import Literal

from msgspec import Struct

from app.runner.frames import Picture
from app.scenario import Media, Sampling


class Received(Struct, frozen=True):
    """A frame from a live source. `received` is `time.monotonic()` when it was decoded."""

    received: float
    picture: Picture
    sampled: bool


class SourceState(Struct, frozen=True):
    """The source was opened (again), or was lost for `error` and is being opened again."""

    state: Literal["open", "reconnecting"]
    error: str | None = None
    media: Media | None = None


class Camera:
    """A video without an end. Not thread safe: used by the thread that opened it."""

    media: Media | None

    def frames(self, sampling: Sampling) -> Iterator[Received | SourceState]:
        """Everything received until `stop` is set, reconnecting with a backoff of 0.25 to 4 s. To be called once.

        The first item is a SourceState. Corrupt frames are left out.
        Every frame comes, sampled or not, so that they can be numbered as received.
        """
        raise NotImplementedError

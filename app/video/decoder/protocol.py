"""What a run and the process that decodes for it say to each other, in lines of JSON.

The run sends an Order, then the number of each slot that is free again.
"""

from typing import Literal

from msgspec import Struct

from ...domain.source import Source
from ...domain.spec import Sampling
from ...domain.states import SourceState
from ...predictions.checkpoint import Checkpoint
from ..reader import Opened
from .shared_frames import Pixels


class Order(Struct, frozen=True):
    """What to read. `memory` is a file descriptor, with so many `slots` for pictures."""

    source: Source
    media_root: str
    networks: str
    sampling: Sampling
    persistent: bool
    checkpoint: Checkpoint
    memory: int
    slots: int


class Noted(Struct, frozen=True, tag=True):
    """What became of the source. Comes before the first frame."""

    state: SourceState
    opened: Opened | None
    live: bool


class Shown(Struct, frozen=True, tag=True):
    """An Item of the pipeline."""

    frame: int
    time: float
    sampled: int | None
    error: str | None
    pixels: Pixels | None


class Passed(Struct, frozen=True, tag=True):
    """A Mark of the pipeline."""

    end: int
    time: float
    dropped: int = 0


class Logged(Struct, frozen=True, tag=True):
    """A line for the log."""

    level: Literal["debug", "info", "warning", "error", "critical"]
    event: str
    fields: dict[str, str | None]


class Alive(Struct, frozen=True, tag=True):
    """It is not stuck. Comes every second, but for while it sends something else."""


class Ended(Struct, frozen=True, tag=True):
    """There is no more to read, or there was a fault. The last of all."""

    completed: bool
    fault: str | None
    retryable: bool


Message = Noted | Shown | Passed | Logged | Alive | Ended

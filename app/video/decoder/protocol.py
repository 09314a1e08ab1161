"""What a run and its decoder process say to each other, in lines of JSON.

The run sends StartDecoding, then the number of each slot that is free again, and MEMORY_GRANTED as the
answer to MemoryNeeded. The process sends messages.
"""

from typing import Literal

from msgspec import Struct

from ..reading import ReadRequest, ReadStatus, Watermark
from .shared_frames import Pixels

MEMORY_GRANTED = -1
"""Instead of the number of a slot."""


class StartDecoding(Struct, frozen=True):
    """What to read. `memory` is a file descriptor of memory with `slots` slots for pictures."""

    request: ReadRequest
    memory: int
    slots: int


class SharedFrame(Struct, frozen=True, tag=True):
    """A SampledFrame, with its picture in a slot."""

    frame: int
    time: float
    sampled: int | None
    error: str | None
    pixels: Pixels | None


class LogLine(Struct, frozen=True, tag=True):
    """A line for the log."""

    level: Literal["debug", "info", "warning", "error", "critical"]
    event: str
    fields: dict[str, str | None]


class MemoryNeeded(Struct, frozen=True, tag=True):
    """The process needs `size` bytes for an index or a decoder, and goes on when the run says so."""

    size: int


class Alive(Struct, frozen=True, tag=True):
    """The process is not stuck. Comes every second, unless it sends something else."""


class ReadEnded(Struct, frozen=True, tag=True):
    """The last status. The last message of all."""

    status: ReadStatus


DecoderMessage = ReadStatus | SharedFrame | Watermark | LogLine | MemoryNeeded | Alive | ReadEnded

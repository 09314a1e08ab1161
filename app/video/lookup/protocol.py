"""What is said to a picture process and what it answers: a line of JSON, and behind an answer its picture."""

from typing import Literal

from msgspec import Struct

from ...domain.media import Media
from ...domain.source import Source
from ..drawing import Overlay
from .finder import WantedFrame

Fault = Literal["missing", "replaced", "unreadable", "slow"]
"""Why there is no picture.

- `missing`: there is no such file, or no media root
- `replaced`: the recording is another one than the scenario's
- `unreadable`: the recording or the frame cannot be opened or decoded
- `slow`: it took too long, or the process ended
"""


class FrameJob(Struct, frozen=True, tag=True):
    """Which frame to show, and how: with an overlay, and not wider than `width` pixels.

    `media_root` is an absolute path, `networks` is what `Networks` is made from. `seconds` is its deadline.
    """

    source: Source
    media_root: str
    networks: str
    wanted: WantedFrame
    width: int
    overlay: Overlay | None = None
    seconds: float = 6.0


class TryJob(Struct, frozen=True, tag=True):
    """A source to be opened, whose first picture is wanted. Fields are those of FrameJob."""

    source: Source
    media_root: str
    networks: str
    width: int
    seconds: float


PictureJob = FrameJob | TryJob


class PictureResult(Struct, frozen=True):
    """The length of the JPEG that follows in bytes, or why there is none: the text is for the user.

    `media` is what was found of a source that was tried.
    """

    size: int = 0
    fault: Fault | None = None
    text: str = ""
    media: Media | None = None

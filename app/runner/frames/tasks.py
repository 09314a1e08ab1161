"""A sampled frame between decoding and storing."""

from msgspec import Struct

from ...domain.event import Carried, Event
from ...domain.picture import Picture
from ...domain.prediction import Detection
from ...predictions.checkpoint import SavedAnalysis
from ...predictions.evidence import NewPicture


class AnalysedFrame(Struct, frozen=True):
    """What analysis makes of a frame besides its detections; `carried` is that after the frame."""

    events: tuple[Event, ...]
    carried: Carried
    saved: SavedAnalysis | None
    pictures: tuple[NewPicture, ...] = ()


class FrameTask(Struct, eq=False):
    """A sampled frame on its way. Fields are those of SampledFrame, and what became of it.

    It is detected once it has detections or an error; its picture is released then, unless the ordered step
    is given it, or what an EarlyEncoder made of it (`jpeg`). It is done if it can be stored.
    """

    frame: int
    time: float
    sampled: int | None
    picture: Picture | None
    error: str | None = None
    size: tuple[int, int] | None = None  # of the picture, which may be released
    detections: tuple[Detection, ...] | None = None
    is_dropped: bool = False
    is_done: bool = False
    analysed: AnalysedFrame | None = None
    jpeg: bytes | None = None

    @property
    def is_detected(self) -> bool:
        """Whether there is nothing left to detect."""
        return self.detections is not None or self.error is not None

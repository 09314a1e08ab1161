"""What a detector is to the pipeline, and how its findings become detections."""

from collections.abc import Callable, Iterable
from math import isfinite
from threading import local
from typing import Generic, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from ..domain.picture import Picture
from ..domain.prediction import Detection

MAX_DETECTIONS = 300  # of one frame, the most confident first
MAX_LABEL = 200

_BOX_STEPS = 8
_CONFIDENCE_STEPS = 1024

Tool = TypeVar("Tool")


class DetectorError(Exception):
    """A detector cannot be made from its configuration. The message is for the user and says what to do."""


class Memory(Struct, frozen=True):
    """How a detector that remembers earlier frames is rebuilt: every `segment` sampled frames a fresh one
    begins, which has been fed the `warmup` sampled frames before it."""

    segment: int
    warmup: int

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= self.segment or self.segment < 1:
            raise ValueError("a segment has at least one frame, and its warm-up is no longer than itself")


class Detector(Protocol):
    """Finds things in pictures. What it finds is a function of the recording alone."""

    @property
    def memory(self) -> Memory | None:
        """None: frames may come in any order and from several threads at once.

        Otherwise frames come in order, from one thread at a time, and `Segments` decides which instance
        sees them.
        """

    def detect(self, picture: Picture, frame: int, /) -> tuple[Detection, ...]:
        """The detections of the frame with this ordinal, the most confident first."""


DetectorFactory = Callable[[], Detector]


class Found(NamedTuple):
    """One finding, as detectors have it: the box in source pixels, neither clipped nor rounded."""

    label: str
    confidence: float
    x1: float
    y1: float
    x2: float
    y2: float


def detections(picture: Picture, found: Iterable[Found]) -> tuple[Detection, ...]:
    """Findings as they are stored: inside the picture, rounded, in a fixed order, at most MAX_DETECTIONS.

    Boxes are rounded to 1/8 pixel and confidences to 1/1024: such numbers are the same in 32 bits as in 64,
    so what comes back from the database equals what went in. Findings outside the picture are left out.
    """
    kept = []
    for label, confidence, *box in found:
        if not all(map(isfinite, (confidence, *box))):
            continue
        x1, y1, x2, y2 = (
            round(min(max(side, 0.0), limit) * _BOX_STEPS) / _BOX_STEPS
            for side, limit in zip(box, (picture.width, picture.height) * 2, strict=True)
        )
        if x1 < x2 and y1 < y2:
            sure = round(min(max(confidence, 0.0), 1.0) * _CONFIDENCE_STEPS) / _CONFIDENCE_STEPS
            kept.append(Detection(clean_label(label), sure, (x1, y1, x2, y2)))
    kept.sort(key=lambda detection: (-detection.confidence, detection.box, detection.label))
    return tuple(kept[:MAX_DETECTIONS])


def fitted(picture: Picture, side: int) -> tuple[int, int]:
    """Width and height of the picture scaled down, where needed, to at most `side` pixels a side."""
    scale = min(1.0, side / max(picture.width, picture.height))
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))


def clean_label(text: str) -> str:
    """`text` as one printable line of at most MAX_LABEL characters: labels come from pictures and files."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:MAX_LABEL])


class PerThread(local, Generic[Tool]):
    """A tool that several threads may not share: each gets one of its own when it first asks."""

    def __init__(self, make: Callable[[], Tool]) -> None:
        self.tool = make()

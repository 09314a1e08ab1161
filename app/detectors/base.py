"""The base class of detectors, and the helpers that they share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from math import isfinite
from threading import local
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

from ..domain.picture import Picture
from ..domain.pins import Pins
from ..domain.prediction import MAX_CLASS_ID, Detection
from ..domain.reason import ScenarioWarning

MAX_DETECTIONS = 300  # of one frame, the most confident first
MAX_LABEL = 200  # characters

_BOX_STEPS = 8
_CONFIDENCE_STEPS = 1024

Value = TypeVar("Value")


class DetectorError(Exception):
    """A detector cannot be made from its configuration. The message tells the user what to do."""


class PostponedError(Exception):
    """The detector cannot look at a picture now, such as while its server is away.

    It must get the picture again, at the earliest after `retry_after` seconds. The message tells the user
    what is waited for; it is empty if nothing new is known.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnusableError(Exception):
    """The detector cannot be used any more. The message tells the user what to do."""


class WarmUp(Struct, frozen=True):
    """How a detector that learns from earlier frames is rebuilt, so that resumed runs give the same results.

    Every `rebuild_every` sampled frames a new instance takes over, which was fed the `frames` sampled frames
    before it.
    """

    rebuild_every: int
    frames: int

    def __post_init__(self) -> None:
        if not 0 <= self.frames <= self.rebuild_every or self.rebuild_every < 1:
            raise ValueError("rebuild_every must be at least 1, and the warm-up not longer than that")


class Detector(ABC):
    """Finds things in pictures. What it finds depends on the recording alone."""

    warm_up: WarmUp | None = None
    """Set if it learns from earlier frames: `RebuiltDetector` then decides which instance sees a frame."""
    is_ordered: bool = False
    """Whether it must get a run's frames in their order, one at a time."""
    is_single_threaded: bool = False
    """Whether all calls of `detect` must be in one and the same thread."""
    servers: str = ""
    """The servers that `detect` waits for most of the time, needing no core; empty if it computes."""

    pins: Pins = Pins()
    """What its detections depend on besides its configuration: the model, the backend, the precision."""

    @property
    def warnings(self) -> tuple[ScenarioWarning, ...]:
        """What a user should know of its detections so far. A text that was told is not told again."""
        return ()

    @property
    def tries(self) -> int:
        """How often it has asked its servers in vain since one answered; 0 if it has none."""
        return 0

    @abstractmethod
    def detect(self, picture: Picture, frame: int, /) -> tuple[Detection, ...]:
        """Return the detections in the frame with this ordinal, the most confident first.

        Raises:
            PostponedError: it cannot look at the picture now
            UnusableError: it cannot be used any more
            Exception: it cannot look at this picture
        """

    def close(self) -> None:  # noqa: B027 - most detectors hold nothing
        """Abandon what is under way and release what it holds. Any thread may call it, more than once."""


DetectorFactory = Callable[[], Detector]


class RawDetection(NamedTuple):
    """A detection as a detector computes it: the box in source pixels, neither clipped nor rounded.

    `class_id` is the number of its class in the detector's model, None if it has no classes.
    """

    label: str
    confidence: float
    x1: float
    y1: float
    x2: float
    y2: float
    class_id: int | None = None


def normalize(picture: Picture, found: Iterable[RawDetection]) -> tuple[Detection, ...]:
    """Clip, round and sort detections, and return the MAX_DETECTIONS most confident.

    Boxes are rounded to 1/8 pixel and confidences to 1/1024: single precision holds these exactly, so the
    database returns what was stored. Boxes outside the picture and values that are not finite are left out.
    Class numbers above MAX_CLASS_ID, of which no known model has one, become None.
    """
    kept = []
    for label, confidence, *box, class_id in found:
        if not all(map(isfinite, (confidence, *box))):
            continue
        x1, y1, x2, y2 = (
            round(min(max(side, 0.0), limit) * _BOX_STEPS) / _BOX_STEPS
            for side, limit in zip(box, (picture.width, picture.height) * 2, strict=True)
        )
        if x1 < x2 and y1 < y2:
            rounded = round(min(max(confidence, 0.0), 1.0) * _CONFIDENCE_STEPS) / _CONFIDENCE_STEPS
            known = class_id if class_id is not None and 0 <= class_id <= MAX_CLASS_ID else None
            kept.append(Detection(clean_label(label), rounded, (x1, y1, x2, y2), class_id=known))
    kept.sort(key=lambda detection: (-detection.confidence, detection.box, detection.label))
    return tuple(kept[:MAX_DETECTIONS])


def fit_within(picture: Picture, side: int) -> tuple[int, int]:
    """Return the picture's width and height, scaled down if the longer one is more than `side` pixels."""
    scale = min(1.0, side / max(picture.width, picture.height))
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))


def clean_label(text: str) -> str:
    """Return `text` as one printable line of at most MAX_LABEL characters.

    Labels come from pictures and from files of users.
    """
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:MAX_LABEL])


class PerThread(local, Generic[Value]):
    """An object that threads may not share: each thread gets its own on first use."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self.value = make()

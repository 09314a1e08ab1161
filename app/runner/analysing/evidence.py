"""Evidence: pictures that a live source keeps of its objects and alerts, taken in the worker's threads."""

import math
from threading import Lock

import cv2
import structlog

from ...analysis.analysis import Step
from ...domain.event import Event
from ...domain.picture import Picture
from ...domain.prediction import Detection
from ...predictions.evidence import CLEARLY_BETTER, NewPicture
from .. import metrics
from ..frames.tasks import FrameTask

log = structlog.get_logger(__name__)

MAX_SIDE = 1280
"""Pixels of the longer side of a stored picture."""

REPLACE_EVERY = 5.0
"""Seconds for which the picture of an object is kept before a better one is taken."""

MAX_IN_HAND = 8 * 2**20
"""Bytes of pictures of a run that are not stored yet, at most."""

_QUALITY = 80
_RESERVE = 2**20  # bytes: more than nearly every picture takes


class EvidenceTaker:
    """Takes the pictures of one run.

    An object has one when it is certain, and a better one at most every REPLACE_EVERY seconds; an alert has
    that of the frame in which it fires. `take` and `encode` are called in workers' threads, `forget_before`
    in the event loop.
    """

    def __init__(self) -> None:
        self._taken: dict[int, tuple[float, float]] = {}  # of each open object: when, and the score
        self._lock = Lock()
        self._in_hand: dict[int, int] = {}  # bytes of the picture of each frame that is not stored

    def take(self, step: Step, task: FrameTask) -> tuple[NewPicture, ...]:
        """Return a picture for each event that is to have one of this frame.

        The frame has its `picture`, or the `jpeg` that `encode` made of it early.
        """
        wanted = [
            (event, seen, score)
            for event in step.events
            if (seen := _seen(event, step.detections)) is not None
            and math.isfinite(score := _score(seen))
            and self._is_wanted(event, task.time, score)
        ]
        for event in step.events:
            if event.state == "ended":
                self._taken.pop(event.event_id, None)
        if not wanted:
            self._forget(task.frame)
            return ()
        jpeg, size = task.jpeg, task.size
        if jpeg is None and task.picture is not None:
            jpeg = self.encode(task.frame, task.picture)
        if jpeg is None or size is None:
            metrics.MISSED_PICTURES.inc(len(wanted))
            return ()
        for event, _, score in wanted:
            if event.kind == "object":
                self._taken[event.event_id] = task.time, score
        return tuple(
            [
                NewPicture(event.event_id, task.frame, task.time, score, size, seen.box, jpeg)
                for event, seen, score in wanted
            ]
        )

    def encode(self, frame: int, picture: Picture) -> bytes | None:
        """Return the picture as a JPEG; None if too much waits to be stored, or it cannot be encoded."""
        with self._lock:
            if sum(self._in_hand.values()) > MAX_IN_HAND - _RESERVE:
                return None
        try:
            jpeg = to_jpeg(picture)
        except Exception as fault:  # whatever the picture is, it costs the evidence of this frame alone
            log.warning("a picture of an event cannot be encoded", frame=frame, error=repr(fault))
            return None
        with self._lock:
            if sum(self._in_hand.values()) + len(jpeg) > MAX_IN_HAND:
                return None
            self._in_hand[frame] = len(jpeg)
        return jpeg

    def forget_before(self, frame: int) -> None:
        """Take the pictures of earlier frames as stored."""
        with self._lock:
            self._in_hand = {each: size for each, size in self._in_hand.items() if each >= frame}

    def _forget(self, frame: int) -> None:
        with self._lock:
            self._in_hand.pop(frame, None)

    def _is_wanted(self, event: Event, time: float, score: float) -> bool:
        if event.kind == "alert":
            return True
        if event.kind != "object" or event.state != "open":
            return False
        taken = self._taken.get(event.event_id)
        if taken is None:
            return True
        return time - taken[0] >= REPLACE_EVERY and score > CLEARLY_BETTER * taken[1]


def to_jpeg(picture: Picture, longest: int = MAX_SIDE) -> bytes:
    """Return a JPEG of the picture, its longer side at most `longest` pixels.

    Raises:
        ValueError: it cannot be encoded.
    """
    scale = min(1.0, longest / max(picture.width, picture.height))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    is_encoded, jpeg = cv2.imencode(".jpg", picture.bgr(size), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not is_encoded:
        raise ValueError(f"a picture of {size[0]}×{size[1]} pixels")
    return jpeg.tobytes()


def _seen(event: Event, detections: tuple[Detection, ...]) -> Detection | None:
    """Return what the frame shows of the event; None if it shows nothing of it."""
    if event.track_id is not None:
        return next((each for each in detections if each.track_id == event.track_id), None)
    return max(
        (each for each in detections if each.label == event.label),
        key=lambda each: each.confidence,
        default=None,
    )


def _score(seen: Detection) -> float:
    x1, y1, x2, y2 = seen.box
    return seen.confidence * ((x2 - x1) * (y2 - y1))

"""Boxes with scores, before they belong to a picture, and non-maximum suppression."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import MAX_DETECTIONS, DetectorError

Floats = NDArray[np.float32]

MAX_CANDIDATES = 3000  # the most confident ones; the cost of NMS grows with their square
_FARTHEST = 1e5  # pixels from the input: OpenCV shifts classes apart by the largest box


class Candidates(NamedTuple):
    """Boxes as x1, y1, x2, y2 in pixels of the network's input, with the score and class of each.

    `angles` are those of rotated boxes in radians, whose boxes are centre and size: None if there are none.
    """

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]
    angles: Floats | None = None

    def only(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Candidates":
        """Return those at the indices `chosen`, or for which it is true."""
        angles = None if self.angles is None else self.angles[chosen]
        return Candidates(self.boxes[chosen], self.scores[chosen], self.classes[chosen], angles)

    def finite(self) -> "Candidates":
        """Return those without infinities and NaN."""
        return self.only(np.isfinite(self.boxes).all(axis=1) & np.isfinite(self.scores))


def best_class(boxes: Floats, scores: Floats, confidence: float) -> Candidates:
    """Return the boxes (N, 4) of which a class scores at least `confidence`; `scores` is (N, classes)."""
    best = scores.max(axis=1, initial=-np.inf)
    confident = np.flatnonzero(best >= confidence)
    return Candidates(boxes[confident], best[confident], scores[confident].argmax(axis=1))


def final(
    boxes: Floats, scores: Floats, classes: Floats, confidence: float, angles: Floats | None = None
) -> Candidates:
    """Return the boxes (N, 4) that score at least `confidence`, after suppression by the network.

    Raises:
        DetectorError: a class is no whole number, also of a box that scores less: scores and classes may
            have changed places, and the score of all boxes of class 0 would be 0
    """
    used = np.isfinite(classes) & (classes >= 0)
    numbers = _whole_numbers(classes[used])
    kept = np.flatnonzero(used)[scores[used] >= confidence]
    return Candidates(
        boxes[kept],
        scores[kept],
        numbers[scores[used] >= confidence],
        None if angles is None else angles[kept],
    )


def corners(centres: Floats) -> Floats:
    """Convert centre and size to corners, both of shape (boxes, 4)."""
    half = centres[:, 2:] / 2
    return np.hstack((centres[:, :2] - half, centres[:, :2] + half))


def _whole_numbers(classes: Floats) -> NDArray[np.int64]:
    """Return numbers of classes as integers.

    Raises:
        DetectorError: they are no whole numbers, so they are something else
    """
    numbers = classes.astype(np.int64)
    if (numbers != classes).any():
        raise DetectorError(
            "Its outputs have fractions where numbers of classes should be, so they are of another layout."
            " State its `layout` if you know it, or export it with its own exporter."
        )
    return numbers


def nms(found: Candidates, iou: float) -> Candidates:
    """Remove boxes that overlap a more confident one of their class by more than `iou`.

    At most MAX_DETECTIONS remain, the most confident ones.
    """
    if len(found.scores) > MAX_CANDIDATES:
        found = found.only(np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES])
    boxes = found.boxes.clip(-_FARTHEST, _FARTHEST)
    places, sizes = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(
        np.hstack((places, sizes)).tolist(), found.scores.tolist(), found.classes.tolist(), 0.0, iou
    )
    return found.only(np.asarray(kept, np.intp)[:MAX_DETECTIONS])

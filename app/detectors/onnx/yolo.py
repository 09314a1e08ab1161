"""The outputs of YOLO networks: their layout, and the boxes in them."""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import MAX_DETECTIONS, DetectorError

Floats = NDArray[np.float32]

LayoutName = Literal["columns", "rows", "end_to_end"]

MAX_CANDIDATES = 3000  # the most confident ones; the cost of NMS grows with their square

LARGEST_FRACTION = 2.0  # of a box in fractions of the picture, which may reach beyond its edge
LARGEST_SCORE = 1.05  # networks of 8-bit integers are a little above 1
FRACTIONS = (
    "Its boxes are fractions of the picture instead of pixels of its input, as RT-DETR's are."
    " Export a YOLO detection model."
)

_BOX = 4


class Layout(NamedTuple):
    """How the output for one picture holds boxes, and the number of classes.

    `columns`: [4 + classes, boxes]: centre, size and class scores (YOLOv8, 9, 11, 12).
    `rows`: [boxes, 5 + classes]: centre, size, objectness and class scores (YOLOv5, 7, X).
    `end_to_end`: [boxes, 6]: corners, score and class, after NMS (YOLOv10, 26, `nms=True`).
    """

    name: LayoutName
    classes: int


class Candidates(NamedTuple):
    """Boxes as x1, y1, x2, y2 in pixels of the network's input, with the score and class of each."""

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]

    def only(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Candidates":
        """Return those at the indices `chosen`, or for which it is true."""
        return Candidates(self.boxes[chosen], self.scores[chosen], self.classes[chosen])


@np.errstate(invalid="ignore", over="ignore")  # networks may give infinities; these are left out
def candidates(output: Floats, layout: Layout, confidence: float) -> Candidates:
    """Return the boxes in the output for one picture (no batch axis) that score at least `confidence`.

    Raises:
        DetectorError: the values are not those of the layout, which the trial picture did not show
    """
    match layout.name:
        case "columns":
            scores = output[_BOX : _BOX + layout.classes]
            confident = np.flatnonzero(scores.max(axis=0) >= confidence)
            scores = scores[:, confident]
            found = Candidates(
                _corners(output[:_BOX, confident].T), scores.max(axis=0), scores.argmax(axis=0)
            )
        case "rows":
            # A class score is at most 1, so objectness alone already excludes most rows.
            rows = output[output[:, _BOX] >= confidence]
            scores = rows[:, _BOX + 1 : _BOX + 1 + layout.classes] * rows[:, _BOX : _BOX + 1]
            found = Candidates(_corners(rows[:, :_BOX]), scores.max(axis=1), scores.argmax(axis=1))
            found = found.only(found.scores >= confidence)
        case "end_to_end":
            rows = output[(output[:, _BOX] >= confidence) & np.isfinite(output[:, 5])]
            found = Candidates(rows[:, :_BOX], rows[:, _BOX], rows[:, 5].astype(np.int64))
    found = found.only(np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores))
    if len(found.scores):
        if found.scores.max() > LARGEST_SCORE:
            raise DetectorError("Its scores are above 1: they are raw logits. Export it with its sigmoid.")
        if layout.name == "end_to_end" and np.abs(found.boxes).max() <= LARGEST_FRACTION:
            raise DetectorError(FRACTIONS)
    return found


def nms(found: Candidates, iou: float) -> Candidates:
    """Remove boxes that overlap a more confident one of their class by more than `iou`.

    At most MAX_DETECTIONS remain, the most confident ones.
    """
    if len(found.scores) > MAX_CANDIDATES:
        found = found.only(np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES])
    corners, sizes = found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(
        np.hstack((corners, sizes)).tolist(), found.scores.tolist(), found.classes.tolist(), 0.0, iou
    )
    return found.only(np.asarray(kept, np.intp)[:MAX_DETECTIONS])


def _corners(centres: Floats) -> Floats:
    """Convert centre and size to corners, both of shape (boxes, 4)."""
    half = centres[:, 2:] / 2
    return np.hstack((centres[:, :2] - half, centres[:, :2] + half))

"""The outputs of YOLO networks: their layout, and the boxes in them."""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import MAX_DETECTIONS, DetectorError

Floats = NDArray[np.float32]

LayoutName = Literal["columns", "rows", "end_to_end"]

MAX_CANDIDATES = 3000  # the most confident ones; the cost of NMS grows with their square

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


def layout_of(
    shape: tuple[int, ...], height: int, width: int, named: int, *, has_extras: bool = False
) -> Layout:
    """Return the layout of an output of this shape for one picture of height × width.

    `named` is the number of classes in the metadata, 0 if it has none. `has_extras`: masks or key points
    follow the values of each box; they are ignored.

    Raises:
        DetectorError: the shape is that of no known layout
    """
    if len(shape) == 3 and shape[0] == 1:
        _, down, across = shape
        classes = named or down - _BOX
        if 0 < classes <= down - _BOX and down < across and across != 6:
            return Layout("columns", classes)
        # A YOLOv5 of one class has six columns, too, but one row for each anchor.
        if (across == 6 or (has_extras and across > 6)) and down not in _anchor_counts(height, width):
            return Layout("end_to_end", named)
        classes = named or across - _BOX - 1
        if 0 < classes <= across - _BOX - 1 and across < down:
            return Layout("rows", classes)
    of_classes = f" of {named} classes" if named else ""
    raise DetectorError(
        f"Its output has the shape {list(shape)}, which is no YOLO layout{of_classes}:"
        " [1, 4 + classes, boxes], [1, boxes, 5 + classes] or [1, boxes, 6]. Export a detection model."
    )


@np.errstate(invalid="ignore", over="ignore")  # networks may give infinities; these are left out
def candidates(output: Floats, layout: Layout, confidence: float) -> Candidates:
    """Return the boxes in the output for one picture (no batch axis) that score at least `confidence`."""
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
    return found.only(np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores))


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


def _anchor_counts(height: int, width: int) -> set[int]:
    """Return the possible row counts of a YOLOv5: 3 anchors per cell of the strides 8 to 32, or 8 to 64."""
    cells = [-(-height // stride) * -(-width // stride) for stride in (8, 16, 32, 64)]
    return {3 * sum(cells[:3]), 3 * sum(cells)}

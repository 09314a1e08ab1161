"""The answers of YOLO networks: which layout they come in, and the boxes in them."""

from typing import Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ..base import MAX_DETECTIONS, DetectorError

Floats = NDArray[np.float32]

LayoutName = Literal["columns", "rows", "finished"]

MAX_CANDIDATES = 3000  # the most confident go into suppression, whose cost grows with their square

_BOX = 4


class Layout(NamedTuple):
    """How boxes stand in an answer to one picture, and how many classes there are.

    `columns`: [4 + classes, boxes], centre, size and class scores (YOLOv8, 9, 11, 12).
    `rows`: [boxes, 5 + classes], centre, size, objectness and class scores (YOLOv5, 7, X).
    `finished`: [boxes, 6], corners, score and class, overlaps already removed (YOLOv10, 26, `nms=True`).
    """

    name: LayoutName
    classes: int


class Candidates(NamedTuple):
    """Boxes as x1, y1, x2, y2 in pixels of the network's input, with the score and class of each."""

    boxes: Floats
    scores: Floats
    classes: NDArray[np.int64]

    def only(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Candidates":
        """Those at the indices `chosen`, or where it is true."""
        return Candidates(self.boxes[chosen], self.scores[chosen], self.classes[chosen])


def layout_of(shape: tuple[int, ...], height: int, width: int, named: int, *, more: bool = False) -> Layout:
    """The layout of an answer of this shape to one picture of height × width.

    `named` is how many classes the metadata names, 0 where it does not say; `more`, whether masks or key
    points follow what tells of the box, which are not looked at. Raises DetectorError for any other answer.
    """
    if len(shape) == 3 and shape[0] == 1:
        _, down, across = shape
        classes = named or down - _BOX
        if 0 < classes <= down - _BOX and down < across and across != 6:
            return Layout("columns", classes)
        # A YOLOv5 of one class has six columns as well: what tells it apart is one row for each anchor.
        if (across == 6 or (more and across > 6)) and down not in _anchor_counts(height, width):
            return Layout("finished", named)
        classes = named or across - _BOX - 1
        if 0 < classes <= across - _BOX - 1 and across < down:
            return Layout("rows", classes)
    said = f" of {named} classes" if named else ""
    raise DetectorError(
        f"Its answer has the shape {list(shape)}, which is no YOLO layout{said}: [1, 4 + classes, boxes],"
        " [1, boxes, 5 + classes] or [1, boxes, 6]. Export a detection model."
    )


@np.errstate(invalid="ignore", over="ignore")  # a network may answer with infinities; they are left out
def candidates(answer: Floats, layout: Layout, confidence: float) -> Candidates:
    """The boxes in the answer to one picture (without the batch axis) that score at least `confidence`."""
    match layout.name:
        case "columns":
            scores = answer[_BOX : _BOX + layout.classes]
            sure = np.flatnonzero(scores.max(axis=0) >= confidence)
            scores = scores[:, sure]
            found = Candidates(_corners(answer[:_BOX, sure].T), scores.max(axis=0), scores.argmax(axis=0))
        case "rows":
            # A class score is at most 1, so objectness alone already rules most rows out.
            rows = answer[answer[:, _BOX] >= confidence]
            scores = rows[:, _BOX + 1 : _BOX + 1 + layout.classes] * rows[:, _BOX : _BOX + 1]
            found = Candidates(_corners(rows[:, :_BOX]), scores.max(axis=1), scores.argmax(axis=1))
            found = found.only(found.scores >= confidence)
        case "finished":
            rows = answer[(answer[:, _BOX] >= confidence) & np.isfinite(answer[:, 5])]
            found = Candidates(rows[:, :_BOX], rows[:, _BOX], rows[:, 5].astype(np.int64))
    return found.only(np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores))


def suppressed(found: Candidates, iou: float) -> Candidates:
    """Without the boxes that overlap a more confident one of their class by more than `iou`."""
    if len(found.scores) > MAX_CANDIDATES:
        found = found.only(np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES])
    corners, sizes = found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]
    kept = cv2.dnn.NMSBoxesBatched(
        np.hstack((corners, sizes)).tolist(), found.scores.tolist(), found.classes.tolist(), 0.0, iou
    )
    return found.only(np.asarray(kept, np.intp)[:MAX_DETECTIONS])


def _corners(centres: Floats) -> Floats:
    """Centre and size → corners, both of shape (boxes, 4)."""
    half = centres[:, 2:] / 2
    return np.hstack((centres[:, :2] - half, centres[:, :2] + half))


def _anchor_counts(height: int, width: int) -> set[int]:
    """Rows of a YOLOv5 for this input: three anchors for each cell of the strides 8 to 32, or 8 to 64."""
    cells = [-(-height // stride) * -(-width // stride) for stride in (8, 16, 32, 64)]
    return {3 * sum(cells[:3]), 3 * sum(cells)}

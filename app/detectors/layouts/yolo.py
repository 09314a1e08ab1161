"""Boxes in the outputs of YOLO networks. Each function takes the outputs for one picture."""

from collections.abc import Sequence

import numpy as np

from .candidates import Candidates, Floats, best_class, corners, final
from .layout import Layout, Size

_BOX = 4
_STRIDES = (8, 16, 32)  # of the cells of YOLOX


def yolov8(outputs: Sequence[Floats], layout: Layout, _size: Size, confidence: float) -> Candidates:
    """[4 + classes, boxes]: centre, size and class scores."""
    columns = outputs[0].T if layout.variant == "transposed" else outputs[0]
    scores = columns[_BOX : _BOX + layout.classes]
    confident = np.flatnonzero(scores.max(axis=0, initial=-np.inf) >= confidence)
    return best_class(corners(columns[:_BOX, confident].T), scores[:, confident].T, confidence)


def yolov5(outputs: Sequence[Floats], layout: Layout, _size: Size, confidence: float) -> Candidates:
    """[boxes, 5 + classes]: centre, size, objectness and class scores."""
    # A class score is at most 1, so objectness alone already excludes most rows.
    rows = outputs[0][outputs[0][:, _BOX] >= confidence]
    scores = rows[:, _BOX + 1 : _BOX + 1 + layout.classes] * rows[:, _BOX : _BOX + 1]
    return best_class(corners(rows[:, :_BOX]), scores, confidence)


def yolov10(outputs: Sequence[Floats], _layout: Layout, _size: Size, confidence: float) -> Candidates:
    """[boxes, 6 or more]: corners, score and class, after suppression."""
    rows = outputs[0]
    return final(rows[:, :_BOX], rows[:, _BOX], rows[:, 5], confidence)


def yolov7_nms(outputs: Sequence[Floats], _layout: Layout, _size: Size, confidence: float) -> Candidates:
    """[boxes, 7]: number of the picture, corners, class and score, after suppression."""
    rows = outputs[0][outputs[0][:, 0] == 0]
    return final(rows[:, 1:5], rows[:, 6], rows[:, 5], confidence)


def yolox(outputs: Sequence[Floats], layout: Layout, size: Size, confidence: float) -> Candidates:
    """[cells, 5 + classes]: place in the cell, logarithm of the size, objectness, class scores."""
    places, strides = _cells(size)
    confident = np.flatnonzero(outputs[0][:, _BOX] >= confidence)
    rows, strides = outputs[0][confident], strides[confident, None]
    centres = (rows[:, :2] + places[confident]) * strides
    boxes = np.hstack((centres, np.exp(rows[:, 2:_BOX]) * strides))
    scores = rows[:, _BOX + 1 : _BOX + 1 + layout.classes] * rows[:, _BOX : _BOX + 1]
    return best_class(corners(boxes), scores, confidence)


def yolo_obb(outputs: Sequence[Floats], layout: Layout, _size: Size, confidence: float) -> Candidates:
    """[5 + classes, boxes]: centre, size, class scores and angle; or [boxes, 7] after suppression.

    The latter are centre, size, score, class and angle.
    """
    if layout.variant == "end_to_end":
        rows = outputs[0]
        return final(rows[:, :_BOX], rows[:, _BOX], rows[:, 5], confidence, rows[:, 6])
    columns = outputs[0]
    scores = columns[_BOX : _BOX + layout.classes]
    confident = np.flatnonzero(scores.max(axis=0, initial=-np.inf) >= confidence)
    found = best_class(columns[:_BOX, confident].T, scores[:, confident].T, confidence)
    return found._replace(angles=columns[_BOX + layout.classes, confident])


def count_cells(size: Size, strides: Sequence[int] = _STRIDES) -> int:
    """Return how many cells grids with these strides have together."""
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def _cells(size: Size) -> tuple[Floats, Floats]:
    """Return the place (column, row) of each cell, and its stride in pixels."""
    places, strides = [], []
    for stride in _STRIDES:
        down, across = np.mgrid[: -(-size[0] // stride), : -(-size[1] // stride)].reshape(2, -1)
        places.append(np.column_stack((across, down)))
        strides.append(np.full(len(across), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(strides).astype(np.float32)

"""A trial run with a picture that has content tells what shapes alone cannot."""

from collections.abc import Sequence
from math import inf
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...domain.picture import Image
from ..base import DetectorError
from .candidates import Candidates, Floats
from .families import FAMILIES, decode
from .layout import Layout, Size

LARGEST_SCORE = 1.05  # networks of 8-bit integers are a little above 1

_SMALLEST_SCORE = -0.005  # no sigmoid gives less than 0; angles and masks do
_LARGEST_FRACTION = 2.0  # of a box in fractions of the picture, which may reach beyond its edge
_EVERYWHERE = 0.25  # a score that every box has: no class is seen everywhere in the trial picture
_MOST = 0.95  # share of boxes
_FRACTIONS = ("rtdetr_ultralytics", "rtdetr_transformers", "detr", "rfdetr", "tensorflow", "classifier")
_FOR_FRACTIONS = "Its boxes are fractions of the picture instead of pixels of its input."
_EXPORT = "State its `layout` if you know it, or export it as a YOLO detection model."


class TrialPicture:
    """A picture of this size: gray with noise, a gradient and coloured squares."""

    def __init__(self, size: Size) -> None:
        self.height, self.width = size
        picture = np.full((*size, 3), 114, np.float32)
        picture += np.random.default_rng(0).random((*size, 1), np.float32) * 16
        picture[: self.height // 4] += np.linspace(-100, 130, self.width, dtype=np.float32)[:, None]
        side = max(8, min(size) // 5)
        for number, colour in enumerate(((255, 255, 255), (0, 0, 255), (0, 0, 0), (255, 50, 0))):
            left = number * self.width // 4
            picture[self.height // 2 : self.height // 2 + side, left : left + side] = colour
        self._bgr = picture.clip(0, 255).astype(np.uint8)

    def gray(self, size: tuple[int, int] | None = None) -> Image:
        return np.asarray(cv2.cvtColor(self.bgr(size), cv2.COLOR_BGR2GRAY), np.uint8)

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        if size is None or size == (self.width, self.height):
            return self._bgr
        return np.asarray(cv2.resize(self._bgr, size), np.uint8)


def check_numbers(outputs: Sequence[NDArray[Any]]) -> None:
    """Check that no output has NaN: what a network did not compute must not look as if nothing were there.

    Raises:
        DetectorError: one has
    """
    if any(values.size and np.isnan(values.max()) for values in outputs):  # a single NaN is the maximum
        raise DetectorError(
            "Its outputs have NaN, as if values became too large for float16. Export it with float32"
            " (half=False)."
        )


def check_found(found: Candidates, layout: Layout, size: Size) -> None:
    """Check boxes that were found in a picture, because the trial picture may have shown none.

    `size` is the input's.

    Raises:
        DetectorError: their values are not those of the layout
    """
    if not len(found.scores):
        return
    if found.scores.max() > LARGEST_SCORE:
        raise DetectorError("Its scores are above 1: they are raw logits. Export it with its sigmoid.")
    if FAMILIES[layout.name].needs_nms:  # the trial showed the boxes of all cells
        return
    if layout.name not in _FRACTIONS and np.abs(found.boxes).max() <= _LARGEST_FRACTION:
        raise DetectorError(f"{_FOR_FRACTIONS} {_EXPORT}")
    _check_final_boxes(found.boxes, layout, size)


@np.errstate(invalid="ignore", over="ignore")
def check_values(outputs: Sequence[Floats], layout: Layout, size: Size) -> None:
    """Check that the outputs for the trial picture have the values that their layout promises.

    `outputs` are those that the layout names; `size` is the input's.

    Raises:
        DetectorError: its boxes or scores are something else, so that it would be misread
    """
    match layout.name:
        case "yolov5" | "yolov8" | "yolox_decoded":
            _check_grid(outputs[0][0].T if _has_columns(layout) else outputs[0][0], layout, size)
        case "rtdetr_transformers" | "rfdetr" | "detr":
            _check_detr(outputs)
    found = decode(outputs, layout, size, -inf)
    if not len(found.scores):
        return
    _check_scores(found.scores)
    if layout.name == "classifier":
        return
    extent = np.abs(found.boxes[found.boxes.any(axis=1)])
    if layout.name not in _FRACTIONS and len(extent) and extent.max() <= _LARGEST_FRACTION:
        raise DetectorError(f"{_FOR_FRACTIONS} {_EXPORT}")
    if not FAMILIES[layout.name].needs_nms:
        _check_final_boxes(found.boxes, layout, size)


def _check_final_boxes(boxes: Floats, layout: Layout, size: Size) -> None:
    """Check boxes in pixels of the input, of which the network has removed those that overlap."""
    extent = np.abs(boxes[boxes.any(axis=1)])
    if layout.name in _FRACTIONS and extent.size and np.median(extent) > _LARGEST_FRACTION * max(size):
        raise DetectorError(
            "Its boxes are pixels instead of fractions of the picture. State its `layout` if you know it."
        )
    if not _are_corners(boxes, 0.5):
        raise DetectorError(f"Its boxes are centre and size instead of corners. {_EXPORT}")


def _has_columns(layout: Layout) -> bool:
    return layout.name == "yolov8" and layout.variant == "plain"


def _check_grid(rows: Floats, layout: Layout, size: Size) -> None:
    """Check the boxes of a grid: centre, size, and scores."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        return
    boxes = rows[:, :4]
    if np.abs(boxes).max() <= _LARGEST_FRACTION:
        raise DetectorError(f"{_FOR_FRACTIONS} {_EXPORT}")
    if boxes[:, 0].max() <= size[1] / 8 and boxes[:, 1].max() <= size[0] / 8:
        raise DetectorError(
            "Its boxes are not in pixels of its input: they are not decoded. Export it with the decoding"
            " of boxes (YOLOX: --decode_in_inference; YOLOv7: --grid)."
        )
    if _are_corners(boxes, _MOST):
        raise DetectorError(f"Its boxes are corners instead of centre and size. {_EXPORT}")
    first = 4 if layout.name == "yolov8" else 5
    scores = rows[:, first : first + layout.classes]
    _check_scores(rows[:, 4 : first + layout.classes])
    # In rows, the scores of classes are given an object: without one, they can be anything.
    if layout.name == "yolov8" and layout.classes > 1 and _is_everywhere(scores):
        raise DetectorError(
            "Its last class has a score in every place: it is the angle of rotated boxes (OBB)."
            " State its `layout` as yolo_obb, or export a detection model."
        )


def _check_detr(outputs: Sequence[Floats]) -> None:
    """Check logits, and boxes with centre and size in fractions."""
    logits, boxes = outputs[0], outputs[1]
    if logits.min() >= 0 and logits.max() <= 1:
        raise DetectorError(
            "Its scores are probabilities already instead of logits. Export it without its sigmoid."
        )
    if boxes.min() < -1 or boxes.max() > _LARGEST_FRACTION:
        raise DetectorError(
            "Its boxes are pixels instead of fractions of the picture. Export it with its own exporter."
        )


def _check_scores(scores: Floats) -> None:
    lowest, highest = scores.min(), scores.max()
    if lowest < _SMALLEST_SCORE or highest > LARGEST_SCORE:
        raise DetectorError(
            f"Its scores reach from {lowest:.3g} to {highest:.3g} instead of 0 to 1: they are raw logits,"
            " or values of masks, key points or angles. Export it as a detection model, with its sigmoid."
        )


def _are_corners(boxes: Floats, share: float) -> bool:
    """Return whether more than this share of the boxes could be x1, y1, x2, y2."""
    ordered = (boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])
    return bool(ordered.mean() > share)


def _is_everywhere(scores: Floats) -> bool:
    """Return whether the last column looks like an angle: high for all boxes, unlike scores of classes."""
    last, others = scores[:, -1], scores[:, :-1]
    return bool(
        last.min() > _EVERYWHERE
        or (np.median(last) > _EVERYWHERE and np.median(others, axis=0).max() < _EVERYWHERE / 5)
    )

"""A trial run with a picture that has content tells what shapes alone cannot."""

import numpy as np
from numpy.typing import NDArray

from ..base import DetectorError
from .yolo import FRACTIONS, LARGEST_FRACTION, LARGEST_SCORE, Floats, Layout

_GRAY = 114 / 255
_SMALLEST_SCORE = 1 - LARGEST_SCORE
_EVERYWHERE = 0.25  # a score that every box has: no class is seen everywhere in the trial picture
_MOST = 0.95  # share of boxes


def trial_picture(height: int, width: int) -> Floats:
    """Return a picture (1, 3, height, width), 0 to 1: gray with noise, a gradient and coloured squares."""
    picture = np.full((3, height, width), _GRAY, np.float32)
    picture += np.random.default_rng(0).random((height, width), np.float32) / 16
    picture[:, : height // 4] += np.linspace(-0.4, 0.5, width, dtype=np.float32)
    side = max(8, min(height, width) // 5)
    for number, colour in enumerate(((1, 1, 1), (1, 0, 0), (0, 0, 0), (0, 0.2, 1))):
        left = number * width // 4
        square = picture[:, height // 2 : height // 2 + side, left : left + side]
        square[:] = np.array(colour, np.float32)[:, None, None]
    return picture.clip(0, 1)[None]


@np.errstate(invalid="ignore", over="ignore")
def check_values(output: Floats, layout: Layout, height: int, width: int) -> None:
    """Check that the output for the trial picture (no batch axis) has the values that its layout promises.

    Raises:
        DetectorError: its boxes or scores are something else, so that it would be misread
    """
    rows = output.T if layout.name == "columns" else output
    if layout.name == "end_to_end":
        rows = rows[rows.any(axis=1) & (rows[:, 5] >= 0)]  # unused rows are zeros, or of the class -1
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        return
    boxes = rows[:, :4]
    if np.abs(boxes).max() <= LARGEST_FRACTION:
        raise DetectorError(FRACTIONS)
    if layout.name == "end_to_end":
        _check_scores(rows[:, 4:5])
        if not _are_corners(boxes, 0.5):
            raise DetectorError(
                "Its boxes are centre and size instead of corners. Export a YOLO detection model."
            )
        return
    if boxes[:, 0].max() <= width / 8 and boxes[:, 1].max() <= height / 8:
        raise DetectorError(
            "Its boxes are not in pixels of its input: they are not decoded. Export it with the decoding"
            " of boxes (YOLOX: --decode_in_inference; YOLOv7: --grid)."
        )
    if _are_corners(boxes, _MOST):
        raise DetectorError(
            "Its boxes are corners instead of centre and size. Export a YOLO detection model."
        )
    first = 4 if layout.name == "columns" else 5
    scores = rows[:, first : first + layout.classes]
    _check_scores(rows[:, 4 : first + layout.classes])
    # In rows, the scores of classes are given an object: without one, they can be anything.
    if layout.name == "columns" and layout.classes > 1 and _is_everywhere(scores):
        raise DetectorError(
            "Its last class has a score in every place: it is the angle of rotated boxes (OBB)."
            " Export a detection model instead (task detect)."
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
    ordered: NDArray[np.bool_] = (boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])
    return bool(ordered.mean() > share)


def _is_everywhere(scores: Floats) -> bool:
    """Return whether the last column looks like an angle: high for all boxes, unlike scores of classes."""
    last, others = scores[:, -1], scores[:, :-1]
    return bool(
        last.min() > _EVERYWHERE
        or (np.median(last) > _EVERYWHERE and np.median(others, axis=0).max() < _EVERYWHERE / 5)
    )

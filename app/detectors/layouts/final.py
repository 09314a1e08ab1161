"""Boxes in the outputs of networks that suppress overlapping ones themselves, and labels of classifiers."""

from collections.abc import Sequence

import numpy as np

from ..base import DetectorError
from .candidates import Candidates, Floats, final
from .detr import softmax
from .layout import Layout, Size

_ROUNDING = 0.01  # of the sum of probabilities, in float16 and 8-bit integers
_SEVERAL = 1.5  # a sum of probabilities that rounding does not explain


def boxes_scores_classes(
    outputs: Sequence[Floats], _layout: Layout, _size: Size, confidence: float
) -> Candidates:
    """[boxes, 4] with corners in pixels, [boxes] with scores, [boxes] with classes."""
    return final(outputs[0], outputs[1], outputs[2], confidence)


def yolov6_nms(outputs: Sequence[Floats], layout: Layout, size: Size, confidence: float) -> Candidates:
    """The same after the number of boxes that are used."""
    count = int(outputs[0].ravel()[0])
    used = [values[: max(0, count)] for values in outputs[1:]]
    return boxes_scores_classes(used, layout, size, confidence)


def tensorflow(outputs: Sequence[Floats], _layout: Layout, size: Size, confidence: float) -> Candidates:
    """[boxes, 4] with top, left, bottom and right as fractions, [boxes] with scores and with classes."""
    height, width = size
    boxes = outputs[0][:, [1, 0, 3, 2]] * np.array((width, height, width, height), np.float32)
    return final(boxes, outputs[1], outputs[2], confidence)


def mmdetection(outputs: Sequence[Floats], _layout: Layout, _size: Size, confidence: float) -> Candidates:
    """[boxes, 5] with corners and score, [boxes] with classes."""
    return final(outputs[0][:, :4], outputs[0][:, 4], outputs[1], confidence)


def classifier(outputs: Sequence[Floats], layout: Layout, size: Size, confidence: float) -> Candidates:
    """[classes] with probabilities, or logits: the best class, everywhere.

    Raises:
        DetectorError: the sum of probabilities is far above 1
    """
    scores = softmax(outputs[0]) if layout.variant == "logits" else outputs[0]
    # One that was quantized gives many small probabilities as 0, so their sum may be far below 1.
    if scores.sum() > _SEVERAL:
        raise DetectorError(
            "The sum of its scores is far above 1 for some pictures: it gives a picture several labels."
            " Export a classifier that gives one, or a detection model."
        )
    best = int(scores.argmax())
    whole = np.array([[0, 0, size[1], size[0]]], np.float32)
    return final(whole, scores[best : best + 1], np.array([best], np.float32), confidence)


def are_of_one_label(scores: Floats) -> bool:
    """Return whether scores are probabilities of which one is true."""
    return bool(scores.min() >= 0 and abs(float(scores.sum()) - 1) < _ROUNDING)

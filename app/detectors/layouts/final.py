"""Boxes in the outputs of networks that suppress overlapping ones themselves, and labels of classifiers."""

from collections.abc import Sequence

import numpy as np

from .candidates import Candidates, Floats, whole_numbers
from .detr import softmax
from .layout import Layout, Size


def boxes_scores_classes(
    outputs: Sequence[Floats], _layout: Layout, _size: Size, confidence: float
) -> Candidates:
    """[boxes, 4] with corners in pixels, [boxes] with scores, [boxes] with classes."""
    return _confident(outputs[0], outputs[1], outputs[2], confidence)


def yolov6_nms(outputs: Sequence[Floats], layout: Layout, size: Size, confidence: float) -> Candidates:
    """The same after the number of boxes that are used."""
    count = int(outputs[0].ravel()[0])
    used = [values[: max(0, count)] for values in outputs[1:]]
    return boxes_scores_classes(used, layout, size, confidence)


def tensorflow(outputs: Sequence[Floats], _layout: Layout, size: Size, confidence: float) -> Candidates:
    """[boxes, 4] with top, left, bottom and right as fractions, [boxes] with scores and with classes."""
    height, width = size
    boxes = outputs[0][:, [1, 0, 3, 2]] * np.array((width, height, width, height), np.float32)
    return _confident(boxes, outputs[1], outputs[2], confidence)


def mmdetection(outputs: Sequence[Floats], _layout: Layout, _size: Size, confidence: float) -> Candidates:
    """[boxes, 5] with corners and score, [boxes] with classes."""
    return _confident(outputs[0][:, :4], outputs[0][:, 4], outputs[1], confidence)


def classifier(outputs: Sequence[Floats], layout: Layout, size: Size, confidence: float) -> Candidates:
    """[classes] with probabilities, or logits: the best class, everywhere."""
    scores = softmax(outputs[0]) if layout.variant == "logits" else outputs[0]
    best = int(scores.argmax())
    whole = np.array([[0, 0, size[1], size[0]]], np.float32)
    return _confident(whole, scores[best : best + 1], np.array([best], np.float32), confidence)


def _confident(boxes: Floats, scores: Floats, classes: Floats, confidence: float) -> Candidates:
    kept = (scores >= confidence) & np.isfinite(classes) & (classes >= 0)
    return Candidates(boxes[kept], scores[kept], whole_numbers(classes[kept]))

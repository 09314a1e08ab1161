"""Boxes in the outputs of DETR and its descendants: fractions of the picture, without suppression."""

from collections.abc import Sequence

import numpy as np

from .candidates import Candidates, Floats, best_class, corners, final
from .layout import Layout, Size

_LARGEST_LOGIT = 65504.0  # of float16


def rtdetr_ultralytics(
    outputs: Sequence[Floats], layout: Layout, size: Size, confidence: float
) -> Candidates:
    """[boxes, 6]: centre, size, score and class; or [boxes, 4 + classes] with class scores."""
    rows = outputs[0]
    if layout.variant != "end_to_end":
        return best_class(_pixels(rows[:, :4], size), rows[:, 4 : 4 + layout.classes], confidence)
    return final(_pixels(rows[:, :4], size), rows[:, 4], rows[:, 5], confidence)


def detr(outputs: Sequence[Floats], _layout: Layout, size: Size, confidence: float) -> Candidates:
    """[boxes, classes + 1] with logits, of which the last is for nothing, and [boxes, 4]."""
    return best_class(_pixels(outputs[1], size), softmax(outputs[0])[:, :-1], confidence)


def logits_and_boxes(outputs: Sequence[Floats], _layout: Layout, size: Size, confidence: float) -> Candidates:
    """[boxes, classes] with logits, and [boxes, 4]. A box may have several classes, as exporters read it."""
    scores = sigmoid(outputs[0])
    boxes, classes = np.nonzero(scores >= confidence)
    found = Candidates(_pixels(outputs[1][boxes], size), scores[boxes, classes], classes)
    return found.only(np.argsort(-found.scores, kind="stable")[: len(scores)])


def softmax(logits: Floats) -> Floats:
    """Return probabilities along the last axis. Infinities, as float16 gives them, are large numbers."""
    logits = logits.clip(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: Floats) -> Floats:
    """Return 1 / (1 + e^-x)."""
    scores = 1 / (1 + np.exp(-logits))
    return scores.astype(np.float32)


def _pixels(boxes: Floats, size: Size) -> Floats:
    """Convert centre and size in fractions to corners in pixels."""
    height, width = size
    return corners(boxes * np.array((width, height, width, height), np.float32))

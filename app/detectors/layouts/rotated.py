"""Rotated boxes: suppression as Ultralytics does it, and the upright boxes around them."""

import numpy as np
from numpy.typing import NDArray

from ..base import MAX_DETECTIONS
from .candidates import Candidates, Floats

_MOST_COMPARED = 1000  # the most confident ones; the cost grows with their square
_EPSILON = 1e-7


def upright_after_nms(found: Candidates, iou: float, *, is_final: bool) -> Candidates:
    """Return upright boxes around the rotated ones, without those that overlap a more confident one.

    `found.boxes` are centre and size. `is_final`: overlapping ones were removed by the network.
    """
    angles = found.angles if found.angles is not None else np.zeros(len(found.scores), np.float32)
    if not is_final and len(found.scores):
        order = np.argsort(-found.scores, kind="stable")[:_MOST_COMPARED]
        found, angles = found.only(order), angles[order]
        overlaps = _similarity(found.boxes, angles) >= iou
        overlaps &= found.classes[:, None] == found.classes[None]
        kept = np.flatnonzero(~np.triu(overlaps, 1).any(axis=0))[:MAX_DETECTIONS]
        found, angles = found.only(kept), angles[kept]
    cos, sin = np.abs(np.cos(angles)), np.abs(np.sin(angles))
    width, height = found.boxes[:, 2], found.boxes[:, 3]
    half = np.column_stack((width * cos + height * sin, width * sin + height * cos)) / 2
    centres = found.boxes[:, :2]
    return Candidates(np.hstack((centres - half, centres + half)), found.scores, found.classes)


def _similarity(boxes: Floats, angles: Floats) -> NDArray[np.float64]:
    """Return the ProbIoU of each pair (arXiv 2106.06072): boxes as Gaussians, 1 less Hellinger's distance."""
    x, y = boxes[:, 0].astype(np.float64), boxes[:, 1].astype(np.float64)
    across, down = boxes[:, 2].astype(np.float64) ** 2 / 12, boxes[:, 3].astype(np.float64) ** 2 / 12
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = across * cos**2 + down * sin**2, across * sin**2 + down * cos**2
    c = (across - down) * cos * sin
    sum_a, sum_b, sum_c = (each[:, None] + each[None] for each in (a, b, c))
    dx, dy = x[:, None] - x[None], y[:, None] - y[None]
    determinant = sum_a * sum_b - sum_c**2
    spread = determinant + _EPSILON
    near = (sum_a * dy**2 + sum_b * dx**2) / spread / 4 - sum_c * dx * dy / spread / 2
    single = np.clip(a * b - c**2, 0, None)
    alike = np.log(determinant / (4 * np.sqrt(single[:, None] * single[None]) + _EPSILON) + _EPSILON) / 2
    distance = np.clip(near + alike, _EPSILON, 100)
    similarity: NDArray[np.float64] = 1 - np.sqrt(1 - np.exp(-distance) + _EPSILON)
    return similarity

"""What moves, by background subtraction."""

from collections.abc import Iterator

import cv2
import numpy as np

from ..domain.detector_config import Motion
from ..domain.picture import Image, Picture
from ..domain.prediction import Detection
from .base import Found, Memory, detections, fitted

# MOG2 learns at the rate 1 / (2 · frames seen), down to 1 / HISTORY. After 80 frames even slow things leave
# no ghost where they stood at first: 0.03 false boxes a frame, where 60 frames of warm-up gave 0.27. With
# 400 to a segment, a fifth of the frames are fed twice, at 2 ms each, and resuming feeds 280 on average.
MEMORY = Memory(segment=400, warmup=80)
HISTORY = 500

WORKING_SIDE = 640
THRESHOLD = 16.0  # squared distance from the background in variances, at sensitivity 1
SCENE_CHANGE = 0.6  # more foreground than this share is no motion: the light or the view changed

_SPECKLE = np.ones((3, 3), np.uint8)
_GAP = np.ones((11, 11), np.uint8)


class MotionDetector:
    """Boxes around what differs from the background that MOG2 learnt from the frames before.

    It looks at brightness, at most 640 pixels a side, and shadows count as motion. Confidence is the share
    of the box that moves. On the first frame, and where more than 60 % of the picture changes at once,
    nothing is reported and the background begins anew from that frame.
    """

    memory = MEMORY

    def __init__(self, config: Motion) -> None:
        self._config = config
        self._background = self._unlearnt()

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        width, height = fitted(picture, WORKING_SIDE)
        gray = picture.gray((width, height))
        moving = np.asarray(self._background.apply(gray), np.uint8)
        if cv2.countNonZero(moving) > SCENE_CHANGE * moving.size:
            self._background = self._unlearnt()
            self._background.apply(gray)
            return ()
        across, down = picture.width / width, picture.height / height
        smallest = self._config.min_area * width * height
        return detections(
            picture,
            [
                Found("motion", share, x * across, y * down, (x + w) * across, (y + h) * down)
                for x, y, w, h, share in _regions(moving)
                if w * h >= smallest
            ],
        )

    def _unlearnt(self) -> cv2.BackgroundSubtractorMOG2:
        return cv2.createBackgroundSubtractorMOG2(
            HISTORY, THRESHOLD / self._config.sensitivity, detectShadows=False
        )


def _regions(moving: Image) -> Iterator[tuple[int, int, int, int, float]]:
    """Boxes that do not touch each other, as x, y, width, height, and the moving share of each."""
    moving = np.asarray(cv2.morphologyEx(moving, cv2.MORPH_OPEN, _SPECKLE), np.uint8)
    moving = np.asarray(cv2.morphologyEx(moving, cv2.MORPH_CLOSE, _GAP), np.uint8)
    filled = moving.copy()
    boxes = _boxes(filled)
    while True:
        for x, y, w, h in boxes:
            filled[y : y + h, x : x + w] = 255
        merged = _boxes(filled)
        if len(merged) == len(boxes):
            break
        boxes = merged
    for x, y, w, h in boxes:
        yield x, y, w, h, cv2.countNonZero(moving[y : y + h, x : x + w]) / (w * h)


def _boxes(mask: Image) -> list[tuple[int, int, int, int]]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [cv2.boundingRect(contour) for contour in contours]  # type: ignore[misc]

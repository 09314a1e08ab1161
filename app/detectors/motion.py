"""Moving regions, by background subtraction (MOG2)."""

from collections.abc import Iterator

import cv2
import numpy as np

from ..domain.detector_config import Motion
from ..domain.picture import Image, Picture
from ..domain.prediction import Detection
from .base import Detector, RawDetection, WarmUp, fit_within, normalize

# MOG2 learns at the rate 1 / (2 · frames seen), down to 1 / HISTORY. After 80 frames, slow objects leave no
# ghost at their first position: 0.03 false boxes per frame (measured; 0.27 after 60 frames). If it is rebuilt
# every 400 frames, a fifth of the frames are fed twice, at 2 ms each, and a resumed run feeds 280 on average.
HISTORY = 500

WORKING_SIDE = 640  # pixels
THRESHOLD = 16.0  # squared distance from the background in variances, at sensitivity 1
SCENE_CHANGE = 0.6  # share of foreground above which the light or the view changed

_SPECKLE = np.ones((3, 3), np.uint8)
_GAP = np.ones((11, 11), np.uint8)


class MotionDetector(Detector):
    """Finds regions that differ from the background, which MOG2 learns from the frames before.

    It uses the brightness, at no more than 640 pixels a side; shadows count as motion. Confidence is the
    share of the box that moves. The first frame, and a frame in which more than 60 % of the picture changes,
    give no detections and start a new background.
    """

    warm_up = WarmUp(rebuild_every=400, frames=80)
    is_ordered = True

    def __init__(self, config: Motion) -> None:
        self._config = config
        self._background = self._new_background()

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        width, height = fit_within(picture, WORKING_SIDE)
        gray = picture.gray((width, height))
        moving = np.asarray(self._background.apply(gray), np.uint8)
        if cv2.countNonZero(moving) > SCENE_CHANGE * moving.size:
            self._background = self._new_background()
            self._background.apply(gray)
            return ()
        across, down = picture.width / width, picture.height / height
        smallest = self._config.min_area * width * height
        return normalize(
            picture,
            [
                RawDetection("motion", share, x * across, y * down, (x + w) * across, (y + h) * down)
                for x, y, w, h, share in _regions(moving)
                if w * h >= smallest
            ],
        )

    def _new_background(self) -> cv2.BackgroundSubtractorMOG2:
        return cv2.createBackgroundSubtractorMOG2(
            HISTORY, THRESHOLD / self._config.sensitivity, detectShadows=False
        )


def _regions(moving: Image) -> Iterator[tuple[int, int, int, int, float]]:
    """Yield boxes that do not touch each other: x, y, width, height, and the share that moves."""
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

"""Frontal faces, by a Haar cascade."""

from math import tanh

import cv2
import numpy as np
from cv2.data import haarcascades

from ..domain.detector_config import Face
from ..domain.picture import Picture
from ..domain.prediction import Detection
from .base import Found, PerThread, detections, fitted

CASCADE = haarcascades + "haarcascade_frontalface_default.xml"
SMALLEST = 30  # pixels: the cascade was trained at 24, and misses too many there
WORKING_SIDE = 1280


class FaceDetector:
    """OpenCV's cascade, at the size where the smallest face asked for is 30 pixels (at most 1280 a side).

    So larger faces cost less to look for. Confidence is tanh(weight / 8) of the last stage's weight: it
    ranks detections, and is no probability. Things that are not faces seldom pass 0.5.
    """

    memory = None

    def __init__(self, config: Face) -> None:
        self._config = config
        self._cascade = PerThread(lambda: cv2.CascadeClassifier(CASCADE))

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        longer = max(picture.width, picture.height) / picture.height
        width, height = fitted(picture, min(WORKING_SIDE, round(longer * SMALLEST / self._config.min_size)))
        smallest = round(self._config.min_size * height)
        boxes, _, weights = self._cascade.tool.detectMultiScale3(
            picture.gray((width, height)),
            scaleFactor=1.1,
            minNeighbors=4,
            minSize=(smallest, smallest),
            outputRejectLevels=True,
        )
        across, down = picture.width / width, picture.height / height
        found = []
        for (x, y, w, h), weight in zip(boxes, np.ravel(weights).tolist(), strict=True):
            confidence = tanh(weight / 8)
            if confidence >= self._config.confidence:
                found.append(
                    Found("face", confidence, x * across, y * down, (x + w) * across, (y + h) * down)
                )
        return detections(picture, found)

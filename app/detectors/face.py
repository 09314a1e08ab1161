"""Frontal faces, by OpenCV's Haar cascade."""

from math import tanh

import cv2
import numpy as np
from cv2.data import haarcascades

from ..domain.detector_config import Face
from ..domain.picture import Picture
from ..domain.prediction import Detection
from .base import Detector, PerThread, RawDetection, fit_within, normalize

CASCADE = haarcascades + "haarcascade_frontalface_default.xml"
SMALLEST = 30  # pixels: the cascade was trained with faces of 24, and misses too many of those
WORKING_SIDE = 1280  # pixels


class FaceDetector(Detector):
    """Scales the picture so that the smallest wanted face has 30 pixels, to at most 1280 pixels a side.

    So it is faster if only larger faces are wanted. Confidence is tanh(weight / 8) of the last stage's
    weight: it ranks detections but is not a probability. Things that are not faces rarely exceed 0.5.
    """

    def __init__(self, config: Face) -> None:
        self._config = config
        self._cascade = PerThread(lambda: cv2.CascadeClassifier(CASCADE))

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        longer = max(picture.width, picture.height) / picture.height
        width, height = fit_within(
            picture, min(WORKING_SIDE, round(longer * SMALLEST / self._config.min_size))
        )
        smallest = round(self._config.min_size * height)
        boxes, _, weights = self._cascade.value.detectMultiScale3(
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
                    RawDetection("face", confidence, x * across, y * down, (x + w) * across, (y + h) * down)
                )
        return normalize(picture, found)

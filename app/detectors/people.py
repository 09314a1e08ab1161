"""Standing people, by OpenCV's histograms of oriented gradients (HOG)."""

from math import tanh

import cv2
import numpy as np

from ..domain.detector_config import People
from ..domain.picture import Picture
from ..domain.prediction import Detection
from .base import Detector, PerThread, RawDetection, fit_within, normalize

WORKING_SIDE = 640  # pixels
MERGE_OVERLAP = 0.4

# In the classifier's window, a person is about 39 pixels wide and 96 high.
WINDOW_WIDTH, WINDOW_HEIGHT = 64, 128
MARGIN_ACROSS = (1 - 39 / WINDOW_WIDTH) / 2
MARGIN_DOWN = (1 - 96 / WINDOW_HEIGHT) / 2


class PeopleDetector(Detector):
    """Scales the picture to at most 640 pixels a side, then finds people of at least 96 pixels in height.

    Confidence is tanh(margin / 2) of the classifier's margin: it ranks detections but is not a probability.
    Shapes that are not people rarely exceed 0.5.
    """

    def __init__(self, config: People) -> None:
        self._config = config
        self._classifier = PerThread(_classifier)

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        width, height = fit_within(picture, WORKING_SIDE)
        if width < WINDOW_WIDTH or height < WINDOW_HEIGHT:
            return ()  # OpenCV would write past the end of its buffers
        windows, margins = self._classifier.value.detectMultiScale(
            picture.gray((width, height)), winStride=(8, 8), padding=(8, 8), scale=1.05
        )
        if not len(windows):
            return ()
        confidences = [tanh(margin / 2) for margin in np.ravel(margins).tolist()]
        kept = cv2.dnn.NMSBoxes(windows, confidences, self._config.confidence, MERGE_OVERLAP)
        across, down = picture.width / width, picture.height / height
        found = []
        for index in kept:
            x, y, w, h = np.asarray(windows)[index].tolist()
            x1, x2 = x + MARGIN_ACROSS * w, x + (1 - MARGIN_ACROSS) * w
            y1, y2 = y + MARGIN_DOWN * h, y + (1 - MARGIN_DOWN) * h
            found.append(
                RawDetection("person", confidences[index], x1 * across, y1 * down, x2 * across, y2 * down)
            )
        return normalize(picture, found)


def _classifier() -> cv2.HOGDescriptor:
    classifier = cv2.HOGDescriptor()
    classifier.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector()))
    return classifier

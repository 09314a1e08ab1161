"""Standing people, by histograms of oriented gradients."""

from math import tanh

import cv2
import numpy as np

from ..domain.detector_config import People
from ..domain.picture import Picture
from ..domain.prediction import Detection
from .base import Found, PerThread, detections, fitted

WORKING_SIDE = 640
MERGE_OVERLAP = 0.4

# The classifier looks at windows in which a person is about 39 pixels wide and 96 high.
WINDOW_WIDTH, WINDOW_HEIGHT = 64, 128
MARGIN_ACROSS = (1 - 39 / WINDOW_WIDTH) / 2
MARGIN_DOWN = (1 - 96 / WINDOW_HEIGHT) / 2


class PeopleDetector:
    """OpenCV's HOG classifier, at most 640 pixels a side, where a person is found from 96 pixels of height.

    Confidence is tanh(margin / 2) of the classifier's margin: it ranks detections, and is no probability.
    Shapes that are not people seldom pass 0.5.
    """

    memory = None

    def __init__(self, config: People) -> None:
        self._config = config
        self._classifier = PerThread(_classifier)

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        width, height = fitted(picture, WORKING_SIDE)
        if width < WINDOW_WIDTH or height < WINDOW_HEIGHT:
            return ()  # OpenCV would write past the end of its buffers
        windows, margins = self._classifier.tool.detectMultiScale(
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
            found.append(Found("person", confidences[index], x1 * across, y1 * down, x2 * across, y2 * down))
        return detections(picture, found)


def _classifier() -> cv2.HOGDescriptor:
    classifier = cv2.HOGDescriptor()
    classifier.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector()))
    return classifier

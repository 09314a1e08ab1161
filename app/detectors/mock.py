"""Made-up detections, to try the service without a model."""

from random import Random

from ..domain.detector_config import Mock
from ..domain.picture import Picture
from ..domain.prediction import Detection
from .base import Detector, RawDetection, normalize


class MockDetector(Detector):
    """Draws from a generator seeded with the frame's number, so a frame always gives the same detections."""

    def __init__(self, config: Mock) -> None:
        self._config = config

    def detect(self, picture: Picture, frame: int) -> tuple[Detection, ...]:
        if not self._config.max_detections:
            return ()
        # Of Random's methods, only `random()` draws the same numbers in every version of Python.
        random = Random(f"{self._config.seed}:{frame}").random  # noqa: S311
        found = []
        for _ in range(int(random() * (self._config.max_detections + 1))):
            width = picture.width * (0.05 + 0.25 * random())
            height = picture.height * (0.05 + 0.25 * random())
            x, y = (picture.width - width) * random(), (picture.height - height) * random()
            found.append(RawDetection("mock", random(), x, y, x + width, y + height))
        return normalize(picture, found)

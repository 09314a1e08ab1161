"""Mock detectors of certain seeds that crash, each in its own way."""

import os
import signal

from app.detectors.base import Detector
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.detectors.remote.servers import InferenceServers
from app.domain.detector_config import DetectorConfig, Mock
from app.domain.picture import Picture
from app.domain.prediction import Detection

RAISES, ABORTS, ABORTS_LATER, IS_KILLED, BROKEN, RAISES_AT_FIRST, RAISES_AND_IS_KILLED = range(
    4_000_000_000, 4_000_000_007
)
LATER, AT_FIRST = 40, 15
"""Frames, before the one in which it aborts, and in which it raises."""


class Fatal(Detector):
    """A detector with one of these seeds."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def detect(self, picture: Picture, frame: int) -> tuple[Detection, ...]:  # noqa: ARG002
        match self._seed:
            case _ if self._seed in (RAISES, RAISES_AND_IS_KILLED) or (
                self._seed == RAISES_AT_FIRST and frame < AT_FIRST
            ):
                raise ValueError("the model takes other pictures")
            case _ if self._seed == ABORTS or (self._seed == ABORTS_LATER and frame >= LATER):
                os.abort()
            case _ if self._seed == IS_KILLED:  # as the system does when memory runs out
                os.kill(os.getpid(), signal.SIGKILL)
        return ()


def make(config: DetectorConfig, models: ModelCache, servers: InferenceServers) -> Detector:
    """Make a detector like `make_detector`, or a fatal one for these seeds."""
    if not isinstance(config, Mock) or config.seed < RAISES:
        return make_detector(config, models, servers)
    if config.seed == BROKEN:
        raise MemoryError("the model is too large")
    return Fatal(config.seed)

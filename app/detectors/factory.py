"""Make the detector that a user configured."""

from functools import partial

from ..domain.detector_config import (
    DetectorConfig,
    Face,
    Marker,
    Mock,
    Motion,
    Objects,
    Onnx,
    People,
    Remote,
    Stored,
)
from ..domain.networks import Networks
from .base import Detector, DetectorError
from .face import FaceDetector
from .marker import MarkerDetector
from .mock import MockDetector
from .motion import MotionDetector
from .objects.detector import ObjectsDetector
from .onnx.cache import ModelCache
from .onnx.detector import OnnxDetector
from .people import PeopleDetector
from .plugin import PluginDetector
from .remote.detector import detector_at, detector_on_backend
from .remote.servers import InferenceServers

MADE_AT_ONCE = Motion | Marker | Remote | Mock
"""Detectors that read no files when they are made. To make another one takes time."""

NO_SERVERS = InferenceServers(Networks(""))
"""Those that may be asked without networks that allow it: none."""


def make_detector(
    config: DetectorConfig, models: ModelCache, servers: InferenceServers = NO_SERVERS
) -> Detector:
    """Return a new detector. Call this in a thread unless the configuration is one of MADE_AT_ONCE.

    Raises:
        DetectorError: the configuration names something that is missing or cannot be used
    """
    match config:
        case Onnx() if servers.backend:
            return detector_on_backend(partial(OnnxDetector, config), servers)
        case Objects() if servers.backend:
            return detector_on_backend(partial(ObjectsDetector, config), servers)
        case Objects():
            return ObjectsDetector(config, models)
        case Motion():
            return MotionDetector(config)
        case People():
            return PeopleDetector(config)
        case Face():
            return FaceDetector(config)
        case Marker():
            return MarkerDetector(config)
        case Mock():
            return MockDetector(config)
        case Onnx():
            return OnnxDetector(config, models)
        case Remote():
            return detector_at(config, servers)
        case Stored():
            raise DetectorError(
                "the detector `stored` looks at no pictures: give it a source `scenario:<id>`"
            )
        case _:
            return PluginDetector(config)

"""Detectors: what a run asks of each sampled picture, made from what the user configured."""

from pathlib import Path

from ..domain.detector_config import Detector as DetectorConfig
from ..domain.detector_config import Face, Marker, Mock, Motion, Onnx, People
from .base import Detector, DetectorError, DetectorFactory, Memory
from .face import FaceDetector
from .marker import MarkerDetector
from .mock import MockDetector
from .motion import MotionDetector
from .onnx.detector import OnnxDetector
from .people import PeopleDetector
from .warm_up import Segments, replay_from

__all__ = [
    "LOADS",
    "Detector",
    "DetectorError",
    "DetectorFactory",
    "Memory",
    "Segments",
    "make_detector",
    "replay_from",
]

LOADS = People | Face | Onnx
"""Detectors that read files as they are made, which takes time."""


def make_detector(config: DetectorConfig, model_root: Path) -> Detector:
    """A new detector; one with a memory begins without any. Call it in a thread where it is one of LOADS.

    Raises DetectorError where the configuration asks for something that is not there.
    """
    match config:
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
            return OnnxDetector(config, model_root)

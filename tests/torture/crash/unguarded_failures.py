"""The service, with detectors that crash, whose runs do not know what an earlier attempt has failed in."""

from msgspec.structs import replace

from app.detectors.base import Detector, DetectorFactory
from app.predictions.checkpoint import Checkpoint
from app.runner import run
from app.runner.detection import RunDetector


def _unknowing(detector: Detector, make: DetectorFactory, claimed: Checkpoint) -> RunDetector:
    return RunDetector(detector, make, replace(claimed, last_detector_error=None))


vars(run)["RunDetector"] = _unknowing

from tests.torture.crash.fatal_app import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

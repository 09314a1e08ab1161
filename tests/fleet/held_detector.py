"""A service whose detector `mock` waits at certain frames until the test lets it go on."""

from pathlib import Path
from time import sleep

from app.detectors.base import Detector
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.detectors.remote.servers import InferenceServers
from app.domain.detector_config import DetectorConfig, Mock
from app.domain.picture import Picture
from app.domain.prediction import Detection
from app.runner import run
from app.service import create
from app.supervision import Asgi
from tests.torture.guards import replace_name

PERMITS = {100: "permit-to-go-on", 200: "permit-to-end"}
"""Frames, and the files beside the folders of the services without which they are not looked at."""


class HeldDetector(Detector):
    """Looks at one frame at a time, and finds nothing."""

    is_ordered = True

    def detect(self, picture: Picture, frame: int) -> tuple[Detection, ...]:  # noqa: ARG002
        for first, permit in PERMITS.items():
            while frame >= first and not Path("..", permit).exists():
                sleep(0.05)
        return ()


def build() -> Asgi:
    """Build the service."""
    replace_name(run, "make_detector", _make)
    return create()


def _make(config: DetectorConfig, models: ModelCache, servers: InferenceServers) -> Detector:
    return HeldDetector() if isinstance(config, Mock) else make_detector(config, models, servers)

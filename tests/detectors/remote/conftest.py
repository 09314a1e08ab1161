from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.detectors.remote import endpoint
from app.detectors.remote.detector import RemoteDetector, detector_at
from app.detectors.remote.servers import InferenceServers
from app.domain.detector_config import Remote
from app.domain.networks import Networks
from tests.support import models
from tests.support.inference_server import FakeInferenceServer, inference_server

Make = Callable[..., RemoteDetector]


@pytest.fixture(scope="session")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.yolov8(tmp_path_factory.mktemp("models") / "yolo.onnx", (160, 160))


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MAX_BACKOFF", 0.3)


@pytest.fixture
def server(yolo: Path) -> Iterator[FakeInferenceServer]:
    with inference_server(yolo) as server:
        yield server


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes detectors that share their servers, and closes them."""
    servers = InferenceServers(Networks("loopback"))
    made: list[RemoteDetector] = []

    def make(*urls: str, **options: Any) -> RemoteDetector:
        config = Remote(urls[0], urls[1:], **{"timeout_seconds": 2.0, "confidence": 0.9, **options})
        made.append(detector_at(config, servers))
        return made[-1]

    yield make
    for detector in made:
        detector.close()
    servers.close()

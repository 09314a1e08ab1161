"""Models that VA_INFERENCE=remote leaves to inference servers: the same results, and pins, as here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.detectors.backends.choice import make_backend
from app.detectors.base import Detector, DetectorError, PostponedError, UnusableError
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.detectors.remote.model_url import parse_model
from app.detectors.remote.models import RemoteModels
from app.detectors.remote.servers import InferenceServers
from app.detectors.remote.session import RemoteSession
from app.domain.detector_config import Mock, Onnx
from app.domain.networks import Networks
from tests.detectors.remote.test_detector import found, picture
from tests.support import models
from tests.support.inference_server import FakeInferenceServer, inference_server

NAMES = {"names": models.NAMES}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "yard").mkdir()
    return models.yolov8(tmp_path / "yard" / "yolo.onnx", (160, 160), NAMES)


@pytest.fixture
def server(file: Path, tmp_path: Path) -> Iterator[FakeInferenceServer]:
    here = ModelCache(tmp_path).load("yard/yolo.onnx")
    with inference_server(file, name="yard/yolo.onnx") as server:
        server.parameters = {**NAMES, "sha256": here.digest, "backend": here.backend, "precision": "fp32"}
        yield server


@pytest.fixture
def make(server: FakeInferenceServer, tmp_path: Path) -> Iterator[Any]:
    servers = InferenceServers(Networks("public"), [server.root], "a key that is long", is_backend=True)
    made: list[Detector] = []

    def make(config: Any) -> Detector:
        made.append(make_detector(config, ModelCache(tmp_path / "nowhere"), servers))
        return made[-1]

    yield make
    for detector in made:
        detector.close()
    servers.close()


def test_a_model_file_is_computed_by_the_servers_as_it_is_here(
    server: FakeInferenceServer, make: Any, tmp_path: Path
) -> None:
    config = Onnx("yard/yolo.onnx", 0.9, labels=("bright",))
    detector, here = make(config), make_detector(config, ModelCache(tmp_path))
    assert found(detector) == here.detect(picture(), 0) != ()
    assert detector.pins == here.pins
    assert set(server.keys) == {"Bearer a key that is long"}


def test_what_needs_no_model_is_done_here(server: FakeInferenceServer, make: Any) -> None:
    make(Mock()).detect(picture(), 0)
    assert server.seen == []


def test_a_server_that_computes_otherwise_has_the_same_model(server: FakeInferenceServer, make: Any) -> None:
    detector = make(Onnx("yard/yolo.onnx", 0.9))
    right = found(detector)
    server.parameters["backend"] = "openvino:CPU"
    server.fault = "503"
    with pytest.raises(PostponedError):
        detector.detect(picture(), 1)
    server.fault = "none"
    assert found(detector) == right


def test_a_changed_model_file_on_the_server_is_another_model(server: FakeInferenceServer, make: Any) -> None:
    detector = make(Onnx("yard/yolo.onnx", 0.9))
    found(detector)
    server.parameters["sha256"] = "0" * 64
    server.fault = "503"
    with pytest.raises(PostponedError):
        detector.detect(picture(), 1)
    server.fault = "none"
    with pytest.raises(UnusableError, match="another model"):
        found(detector)


def test_a_model_file_that_changes_under_a_run_is_not_taken_for_the_model(
    server: FakeInferenceServer, make: Any
) -> None:
    """The server answers on, with the same name, version and shapes."""
    detector = make(Onnx("yard/yolo.onnx", 0.9))
    found(detector)
    server.parameters["sha256"] = "0" * 64
    with pytest.raises(PostponedError, match="another file of the model"):
        detector.detect(picture(), 1)
    with pytest.raises(UnusableError, match=f"another model .*: {'0' * 64} instead of"):
        found(detector)


def test_a_model_of_the_service_must_be_the_same_there(
    server: FakeInferenceServer, file: Path, tmp_path: Path
) -> None:
    servers = InferenceServers(Networks("loopback"))
    address = parse_model(server.url)
    opened = RemoteModels(lambda _: RemoteSession([address], servers, 2.0))
    try:
        assert opened.load_file(file, "yard/yolo.onnx").backend == "onnxruntime"
        other = models.yolov8(tmp_path / "other.onnx", (192, 192))
        with pytest.raises(UnusableError, match="than this runner: run one version"):
            opened.load_file(other, "yard/yolo.onnx")
    finally:
        opened.close()
        servers.close()


def test_the_backend_itself_opens_no_file(file: Path) -> None:
    backend = make_backend("remote", "fp32", 1)
    assert (backend.name, backend.precision) == ("remote", "")
    with pytest.raises(DetectorError, match="VA_INFERENCE_URLS"):
        backend.open(file, {})

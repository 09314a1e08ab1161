"""Addresses of servers and models: none leads a request, and with it the key, to another place."""

from pathlib import Path

import pytest

from app.detectors.base import UnusableError
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.detectors.remote.model_url import model_at, parse_model, parse_server
from app.detectors.remote.servers import InferenceServers
from app.domain.detector_config import Onnx
from app.domain.networks import Networks
from tests.detectors.remote.test_detector import picture
from tests.support.inference_server import FakeInferenceServer


@pytest.mark.parametrize(
    ("url", "server", "path"),
    [
        ("http://gpu/v2/models/yolo", "http://gpu", "/v2/models/yolo"),
        ("https://GPU:443/v2/models/yolo/versions/3", "https://gpu", "/v2/models/yolo/versions/3"),
        ("http://[::1]:8000/farm/v2/models/a.b", "http://[::1]:8000/farm", "/v2/models/a.b"),
    ],
)
def test_an_address_has_a_server_and_a_path(url: str, server: str, path: str) -> None:
    address = parse_model(url)
    assert (str(address.server), address.path) == (server, path)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://gateway/gpu/v2/models/../../../other/v2/models/yolo", "no part that is . or .."),
        ("http://gateway/gpu/v2/models/%2e%2E/%2e./yolo", "no part that is . or .."),
        ("http://gateway/gpu/../other/v2/models/yolo", "no part that is . or .."),
        ("http://gateway/v2/models/./yolo", "no part that is . or .."),
        ("http://gateway/v2/models/", "names no model"),
        ("http://gpü/v2/models/yolo", "in ASCII"),
        ("http://gpu\0/v2/models/yolo", "in ASCII"),
        ("http://gpu:99999/v2/models/yolo", "Port out of range"),
    ],
)
def test_an_address_that_could_lead_elsewhere_is_refused(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_model(url)


def test_the_address_of_a_server_is_without_what_is_added() -> None:
    assert str(parse_server("http://gpu:80/")) == "http://gpu"
    with pytest.raises(ValueError, match="must be without /v2"):
        parse_server("http://gpu:8000/v2/")


def test_a_file_has_one_address_however_it_is_written() -> None:
    server = parse_server("http://gpu")
    assert model_at(server, "./yard//yolo 1.onnx").path == "/v2/models/yard/yolo%201.onnx"
    for name in ("../../yolo.onnx", "yard/../../yolo.onnx", "/etc/yolo.onnx", "."):
        with pytest.raises(ValueError, match=r"\.\.|relative"):
            model_at(server, name)


def test_a_file_outside_the_model_folder_is_not_asked_for(server: FakeInferenceServer) -> None:
    servers = InferenceServers(Networks(""), [server.root], "a key that is long", is_backend=True)
    detector = make_detector(Onnx("../../scenarios"), ModelCache(Path("nowhere")), servers)
    try:
        with pytest.raises(UnusableError, match=r"The model cannot be used: '../../scenarios' must have no"):
            detector.detect(picture(), 0)
        assert server.seen == []
    finally:
        detector.close()
        servers.close()

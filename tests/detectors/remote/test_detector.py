"""The detector on inference servers: what it finds, what it asks, and what it refuses."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from app.detectors.backends.session import InferenceError
from app.detectors.base import DetectorError, PostponedError, UnusableError
from app.detectors.onnx.cache import ModelCache
from app.detectors.onnx.detector import OnnxDetector
from app.detectors.remote.detector import RemoteDetector, detector_at
from app.detectors.remote.servers import InferenceServers
from app.domain.detector_config import Onnx, Remote
from app.domain.networks import Networks
from app.domain.pins import Pins
from app.domain.prediction import Detection
from tests.detectors.remote.conftest import Make
from tests.support import models
from tests.support.inference_server import FakeInferenceServer, Fault, inference_server, wait_until_asked
from tests.support.pictures import ArrayPicture


def picture(x: int = 64, y: int = 40, level: int = 255) -> ArrayPicture:
    image = np.zeros((160, 160, 3), np.uint8)
    image[y : y + 32, x : x + 32] = level
    return ArrayPicture(image)


FOUND = (64.0, 40.0, 96.0, 72.0)


def found(detector: RemoteDetector, seconds: float = 10.0) -> tuple[Detection, ...]:
    """What it finds once its server answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            return detector.detect(picture(), 0)
        except PostponedError as postponed:
            time.sleep(min(postponed.retry_after, 0.1))
    return detector.detect(picture(), 0)


def seconds(fault: Fault) -> float:
    """How long an answer is waited for: not long if there will be none."""
    return 0.3 if fault in ("frozen", "dripping") else 5.0


@pytest.mark.parametrize("has_binary", [True, False])
def test_it_finds_what_the_model_finds_here(yolo: Path, make: Make, has_binary: bool) -> None:
    with inference_server(yolo, has_binary=has_binary) as server:
        detector = make(server.url, names=("bright", "red"), labels=("bright",))
        config = Onnx("yolo.onnx", 0.9, labels=("bright",), names=("bright", "red"))
        here = OnnxDetector(config, ModelCache(yolo.parent))
        for x in (0, 24, 128):
            assert detector.detect(picture(x), 0) == here.detect(picture(x), 0)
        (one,) = detector.detect(picture(), 0)
        assert (one.label, one.box) == ("bright", FOUND)


def test_nothing_is_asked_before_the_first_picture(server: FakeInferenceServer, make: Make) -> None:
    detector = make(server.url)
    assert server.seen == []
    assert detector.pins == Pins()
    assert len(found(detector)) == 1
    assert [path for path, _ in server.seen[:3]] == ["/v2", "/v2/models/yolo", "/v2/models/yolo/ready"]
    assert detector.pins.model is not None
    assert detector.pins.model.startswith("yolo version 1 (")
    assert detector.pins.backend == "fake 7"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("frozen", "does not answer within 0.3 s"),
        ("401", "refuses the key (401): set VA_INFERENCE_KEY"),
        ("404", "has no such model (404): told so"),
        ("503", "answers with status 503: told so"),
        ("redirect", "redirects (307), which is not followed"),
        ("garbage", "does not speak the Open Inference Protocol"),
        ("endless", "answers with more than 1 MiB"),
        ("dripping", "does not answer within"),
        ("huge", "answers with more than 1 MiB"),
        ("gzip", "answers in the encoding 'gzip'"),
        ("no metadata", "describes its model in no known way"),
    ],
)
def test_a_server_that_does_not_answer_is_waited_for(
    server: FakeInferenceServer, make: Make, fault: Fault, told: str
) -> None:
    server.fault = fault
    detector = make(server.url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.detectors.remote.http_server.METADATA_SECONDS", seconds(fault))
        for _ in range(3):
            with pytest.raises(PostponedError) as postponed:
                detector.detect(picture(), 0)
            assert str(postponed.value).startswith(f"The inference server at {server.url} ")
            assert not str(postponed.value).endswith("..")
            assert told in str(postponed.value)
            assert postponed.value.retry_after > 0
    assert detector.tries >= 1
    server.fault = "none"
    assert len(found(detector)) == 1
    assert detector.tries == 0


@pytest.mark.parametrize(
    "fault",
    ["frozen", "500", "503", "400", "401", "404", "redirect", "garbage", "half", "endless", "dripping",
     "huge", "gzip", "nan", "wrong shape", "wrong axis", "wrong type", "missing", "another name",
     "another request"],
)  # fmt: skip
@pytest.mark.parametrize("has_binary", [True, False])
def test_a_server_that_answers_wrongly_for_a_while_is_waited_for(
    yolo: Path, make: Make, fault: Fault, has_binary: bool
) -> None:
    with inference_server(yolo, has_binary=has_binary) as server:
        detector = make(server.url, timeout_seconds=seconds(fault))
        right = found(detector)
        if fault == "nan" and not has_binary:
            return  # JSON has no NaN: the codec refuses what says so
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("app.detectors.remote.http_server.MAX_ANSWER", 2**20)
            patch.setattr("app.detectors.remote.http_server.METADATA_SECONDS", seconds(fault))
            server.fault = fault
            for _ in range(2):
                with pytest.raises(PostponedError):
                    detector.detect(picture(), 0)
        server.fault = "none"
        assert found(detector) == right


@pytest.mark.parametrize("fault", ["500", "400", "garbage", "nan", "wrong shape", "wrong type", "missing"])
def test_a_picture_that_alone_is_answered_wrongly_costs_that_frame(
    server: FakeInferenceServer, make: Make, fault: Fault
) -> None:
    detector = make(server.url)
    right = found(detector)
    white = ArrayPicture(np.full((160, 160, 3), 255, np.uint8))
    server.fault, server.blames = fault, 1.0
    with pytest.raises(InferenceError, match="the server at http"):
        detector.detect(white, 1)
    assert detector.detect(picture(), 2) == right


@pytest.mark.parametrize("fault", ["another version"])
def test_another_version_is_not_taken_for_the_model(
    server: FakeInferenceServer, make: Make, fault: Fault
) -> None:
    detector = make(server.url)
    found(detector)
    server.fault = fault
    with pytest.raises(UnusableError, match=r"another model .*yolo version 2 .*instead of yolo version 1"):
        detector.detect(picture(), 1)


def test_another_model_behind_the_same_address_is_not_taken_for_it(
    tmp_path: Path, yolo: Path, make: Make
) -> None:
    other = models.yolov8(tmp_path / "other.onnx", (192, 192))
    with inference_server(yolo) as server:
        detector = make(server.url)
        found(detector)
        port = server.server_port
    with pytest.raises(PostponedError, match="cannot be reached: connection refused"):
        detector.detect(picture(), 1)
    with inference_server(other, port=port), pytest.raises(UnusableError, match="another model"):
        found(detector)


def test_a_model_that_cannot_be_read_is_refused_with_what_to_do(tmp_path: Path, make: Make) -> None:
    path = models.classifier(tmp_path / "classifier.onnx")
    with inference_server(path) as server, pytest.raises(UnusableError, match="cannot be used"):
        make(server.url).detect(picture(), 0)


@pytest.mark.parametrize(
    ("missing", "told"), [("inputs", "takes nothing"), ("outputs", "declares no outputs")]
)
def test_a_model_whose_server_does_not_describe_it_is_refused(
    server: FakeInferenceServer, make: Make, monkeypatch: pytest.MonkeyPatch, missing: str, told: str
) -> None:
    """Servers leave it out for models in Python that do not say what they take and give."""
    whole = server.metadata()
    monkeypatch.setattr(server, "metadata", lambda: whole | {missing: []})
    with pytest.raises(UnusableError, match=told):
        make(server.url).detect(picture(), 0)


def test_an_answer_of_more_numbers_in_json_than_memory_is_meant_for_is_not_read(
    yolo: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with inference_server(yolo, has_binary=False) as server:
        detector = make(server.url)
        right = found(detector)
        with monkeypatch.context() as patch:
            patch.setattr("app.detectors.oip.framing.MAX_JSON_VALUES", 100)
            with pytest.raises(PostponedError, match="values in JSON"):
                detector.detect(picture(), 1)
        assert found(detector) == right


def test_labels_that_the_model_lacks_are_refused(server: FakeInferenceServer, make: Make) -> None:
    with pytest.raises(UnusableError, match="no label 'cat'"):
        make(server.url, names=("bright", "red"), labels=("cat",)).detect(picture(), 0)


def test_with_several_servers_one_that_fails_costs_nothing(yolo: Path, make: Make) -> None:
    with inference_server(yolo) as one, inference_server(yolo) as other:
        detector = make(one.url, other.url)
        right = found(detector)
        for fails, works in ((one, other), (other, one)):
            fails.fault, works.fault = "503", "none"
            for _ in range(5):
                assert found(detector) == right
        one.fault = other.fault = "503"
        with pytest.raises(PostponedError) as postponed:
            detector.detect(picture(), 0)
        assert one.url in str(postponed.value)
        assert other.url in str(postponed.value)


def test_several_servers_share_the_requests(yolo: Path, make: Make) -> None:
    with inference_server(yolo) as one, inference_server(yolo) as other:
        detector = make(one.url, other.url)
        for _ in range(4):
            found(detector)
        one.fault = other.fault = "slow"
        one.delay = other.delay = 0.1
        threads = [threading.Thread(target=detector.detect, args=(picture(), n)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert min(one.inferences, other.inferences) >= 3


def test_closing_abandons_a_request_at_once(server: FakeInferenceServer, make: Make) -> None:
    detector = make(server.url, timeout_seconds=60)
    found(detector)
    server.fault = "frozen"
    count, ended = server.inferences, threading.Event()

    def detect() -> None:
        with pytest.raises(PostponedError):
            detector.detect(picture(), 1)
        ended.set()

    threading.Thread(target=detect).start()
    wait_until_asked(server, count + 1)
    detector.close()
    assert ended.wait(20)
    with pytest.raises(PostponedError):
        detector.detect(picture(), 2)


def test_a_circuit_is_broken_for_all_runs_and_one_of_them_tries_it(
    server: FakeInferenceServer, make: Make
) -> None:
    detectors = [make(server.url) for _ in range(4)]
    for detector in detectors:
        found(detector)
    server.fault = "503"
    before = len(server.seen)
    for _ in range(5):
        for detector in detectors:
            with pytest.raises(PostponedError):
                detector.detect(picture(), 0)
    assert len(server.seen) - before <= 4  # 20 without a breaker


@pytest.mark.parametrize(
    ("networks", "trusted", "is_asked"),
    [("public,private", False, False), ("loopback", False, True), ("public", True, True)],
)
def test_an_address_of_this_machine_must_be_named(
    server: FakeInferenceServer, networks: str, trusted: bool, is_asked: bool
) -> None:
    servers = InferenceServers(
        Networks(networks), [f"{server.root}/"] if trusted else [], "a secret key of ours"
    )
    detector = detector_at(Remote(server.url), servers)
    try:
        if is_asked:
            found(detector)
            assert set(server.keys) == ({"Bearer a secret key of ours"} if trusted else {None})
        else:
            with pytest.raises(
                PostponedError, match="add the server to VA_INFERENCE_URLS, or loopback to VA_S"
            ):
                detector.detect(picture(), 0)
            assert server.seen == []
    finally:
        detector.close()
        servers.close()


def test_an_address_that_names_no_model_is_refused() -> None:
    servers = InferenceServers(Networks("loopback"))
    with pytest.raises(DetectorError, match="names no model"):
        detector_at(Remote("http://gpu:8000/yolo"), servers)


def test_a_connection_that_was_closed_meanwhile_costs_nothing(
    server: FakeInferenceServer, make: Make
) -> None:
    detector = make(server.url)
    right = found(detector)
    for _ in range(3):
        server.drops = 1
        assert detector.detect(picture(), 0) == right
    server.drops = 2
    with pytest.raises(PostponedError):
        detector.detect(picture(), 0)


def test_a_detector_that_asked_nothing_is_closed_without_a_thread() -> None:
    servers = InferenceServers(Networks("loopback"))
    before = threading.active_count()
    detector = detector_at(Remote("http://127.0.0.1:1/v2/models/yolo"), servers)
    detector.close()
    assert threading.active_count() == before
    servers.close()


def test_after_the_end_of_its_thread_nothing_is_asked(server: FakeInferenceServer) -> None:
    servers = InferenceServers(Networks("loopback"))
    detector = detector_at(Remote(server.url), servers)
    found(detector)
    servers.close()
    asked = len(server.seen)
    with pytest.raises(PostponedError):
        detector.detect(picture(), 0)
    detector.close()
    assert len(server.seen) == asked

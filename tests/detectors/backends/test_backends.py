"""Each backend that works here computes the same network from the same file, and says what it cannot do."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.concurrency.threads import NICENESS
from app.detectors.backends import onnx_runtime
from app.detectors.backends.choice import make_backend, make_local_backend
from app.detectors.backends.onnx_runtime import OnnxRuntime
from app.detectors.backends.session import Backend, BackendError, InferenceError, Session
from app.detectors.base import DetectorError
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Onnx
from app.domain.pins import Pins
from tests.support import models
from tests.support.pictures import ArrayPicture

SIZE = (320, 320)


@pytest.fixture(params=["onnxruntime", "openvino"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="needs the extra openvino")
    return make_backend(request.param, "fp32", 2)


@pytest.fixture
def session(backend: Backend, tmp_path: Path) -> Session:
    return backend.open(models.yolov8(tmp_path / "model.onnx", None, {"names": models.NAMES}), {})


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 3, *size), np.float32)


def test_a_session_tells_what_the_file_says(session: Session, backend: Backend) -> None:
    (images,) = session.inputs
    (output,) = session.outputs
    assert (images.name, images.dtype, images.shape[1]) == ("images", "float32", 3)
    assert output.name == "output0"
    assert not isinstance(images.shape[2], int)
    assert session.metadata["names"] == models.NAMES
    assert (session.backend, session.precision) == (backend.name, "fp32")


def test_every_backend_computes_what_onnx_runtime_does(session: Session, tmp_path: Path) -> None:
    reference = OnnxRuntime().open(tmp_path / "model.onnx", {})
    for size in ((320, 320), (192, 320)):
        feeds = {"images": picture(size=size)}
        (expected,), (found,) = reference.run(feeds), session.run(feeds, ["output0"])
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_threads_get_the_same_again_and_again(session: Session) -> None:
    """Results are exact for each backend: a resumed run must find what an uninterrupted one does."""
    alone = [session.run({"images": picture(seed)})[0] for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        again = list(threads.map(lambda seed: session.run({"images": picture(seed)})[0], [*range(8)] * 3))
    assert all(np.array_equal(again[number], alone[number % 8]) for number in range(24))


def test_a_result_stays_when_the_thread_computes_the_next(session: Session) -> None:
    first = session.run({"images": picture(1)})[0]
    kept = first.copy()
    session.run({"images": picture(2)})
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    "feeds",
    [
        {"images": np.zeros((1, 2, 64, 64), np.float32)},
        {"other": np.zeros((1, 3, 64, 64), np.float32)},
    ],
)
def test_inputs_that_do_not_fit_are_an_error_of_one_line(
    session: Session, feeds: dict[str, np.ndarray]
) -> None:
    with pytest.raises(InferenceError) as told:
        session.run(feeds)
    assert str(told.value).strip()
    assert "\n" not in str(told.value)


def test_a_file_that_is_no_model_is_the_same_error_on_every_backend(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match="cannot be loaded as an ONNX model"):
        backend.open(models.not_a_model(tmp_path / "model.onnx"), {})


def test_weights_beside_the_file_are_read_and_kept(backend: Backend, tmp_path: Path) -> None:
    path = models.outside_weights(tmp_path / "model.onnx", "w.data")
    weights = np.array([1 / 3, 1 / 3, 1 / 3, 0, 0, 0], np.float32).tobytes()
    (tmp_path / "w.data").write_bytes(weights)
    session = backend.open(path, {"w.data": weights})
    white = {"images": np.ones((1, 3, 64, 64), np.float32)}
    before = session.run(white)[0]
    with (tmp_path / "w.data").open("r+b") as file:
        file.write(bytes(len(weights)))
    assert before[0, 4].max() > 0.99
    assert np.array_equal(session.run(white)[0], before)


def test_a_detector_pins_what_computes(backend: Backend, tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", SIZE)
    detector = make_detector(Onnx("model.onnx"), ModelCache(tmp_path, backend))
    assert detector.pins == Pins(model=detector.pins.model, backend=backend.name, precision="fp32")
    white = ArrayPicture(np.full((*SIZE, 3), 255, np.uint8))
    assert detector.detect(white, 0) == make_detector(Onnx("model.onnx"), ModelCache(tmp_path)).detect(
        white, 0
    )


@pytest.mark.parametrize("name", ["cuda", "tensorrt", "coreml"])
def test_a_provider_that_this_onnx_runtime_lacks_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BackendError, match=f"VA_INFERENCE={name} is not possible: this ONNX Runtime has no"):
        make_backend(name, "fp32", 1)


def test_a_provider_that_falls_back_to_the_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime itself only logs that the device does not work."""

    class Fallen:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: Fallen())
    with pytest.raises(BackendError, match="VA_INFERENCE=cuda does not work here"):
        make_backend("cuda", "fp32", 1)


def test_the_network_that_tries_a_provider_is_what_onnx_writes() -> None:
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, []) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=opsets)
    assert model.SerializeToString() == onnx_runtime._PROBE
    assert onnx_runtime.load(onnx_runtime._PROBE, {}, ["CPUExecutionProvider"]).run(
        None, {"x": np.array(3, np.float32)}
    ) == [3]


@pytest.mark.parametrize("name", ["onnxruntime", "cuda"])
def test_a_precision_that_a_backend_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(BackendError, match=r"VA_INFERENCE_PRECISION=bf16 is not possible.*Convert the model"):
        make_backend(name, "bf16", 1)


def test_without_openvino_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendError, match=r"run \S+ -m pip install openvino, or"):
        make_backend("openvino", "fp32", 1)


@pytest.fixture
def openvino() -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")


@pytest.mark.usefixtures("openvino")
def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        BackendError, match=r"VA_INFERENCE=openvino:NPU is not possible: OpenVINO finds .*CPU"
    ):
        make_backend("openvino:npu", "fp32", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, threads have no nice values of their own")
@pytest.mark.usefixtures("openvino")
def test_the_threads_of_openvino_give_way_to_the_event_loop(tmp_path: Path) -> None:
    before = set(Path("/proc/self/task").iterdir())
    session = make_backend("openvino", "fp32", 2).open(models.yolov8(tmp_path / "model.onnx", SIZE), {})
    session.run({"images": picture()})
    threads = [int(thread.name) for thread in set(Path("/proc/self/task").iterdir()) - before]
    nice = [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads]
    assert sum(value >= NICENESS for value in nice) >= 2


@pytest.mark.usefixtures("openvino")
def test_the_precision_that_is_shown_is_the_one_that_computes(tmp_path: Path) -> None:
    path = models.yolov8(tmp_path / "model.onnx", SIZE)
    try:
        backend = make_backend("openvino", "bf16", 1)
    except BackendError as error:
        pytest.skip(f"on this processor: {error}")
    assert backend.precision == "bf16"
    session = backend.open(path, {})
    exact = make_backend("openvino", "fp32", 1).open(path, {})
    difference = np.abs(session.run({"images": picture()})[0] - exact.run({"images": picture()})[0]).max()
    assert session.precision == "bf16"
    assert 0 < difference < 2


@pytest.mark.parametrize("name", ["remote", "cuda", "openvino:NPU.9"])
def test_a_process_that_cannot_compute_with_a_backend_tries_models_with_onnx_runtime(name: str) -> None:
    assert make_local_backend(name, "fp32", 1).name == "onnxruntime"


def test_a_process_tries_models_with_the_backend_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = OnnxRuntime()
    monkeypatch.setattr("app.detectors.backends.choice.make_backend", lambda *_: chosen)
    assert make_local_backend("openvino", "fp32", 1) is chosen

"""A model's files: weights beside it count as a part of it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.detectors.onnx.files import _CHUNK, digest, weight_names
from app.domain.detector_config import Onnx
from app.domain.model_input import ModelInput, StatedModel
from tests.support import models
from tests.support.pictures import ArrayPicture

BRIGHT = np.array([1 / 3, 1 / 3, 1 / 3, 0, 0, 0], np.float32)
NOTHING = np.zeros(6, np.float32)


def write(path: Path, weights: np.ndarray) -> None:
    """Write weights over those before, in the same file."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(weights.tobytes())
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1_000_000_000))


def count(cache: ModelCache) -> int:
    white = np.full((64, 64, 3), 255, np.uint8)
    return len(make_detector(Onnx("model.onnx", iou=1), cache).detect(ArrayPicture(white), 0))


@pytest.mark.parametrize("name", ["model.onnx.data", "weights/" + "w" * 200])
def test_new_weights_beside_the_same_model_are_loaded(tmp_path: Path, name: str) -> None:
    models.outside_weights(tmp_path / "model.onnx", name)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write(tmp_path / name, BRIGHT)
    assert weight_names(tmp_path / "model.onnx") == (name,)
    cache = ModelCache(tmp_path)
    first = cache.load("model.onnx")
    assert cache.load("model.onnx") is first
    assert count(cache)
    write(tmp_path / name, NOTHING)
    second = cache.load("model.onnx")
    assert second is not first
    assert second.digest != first.digest
    assert not count(cache)
    write(tmp_path / name, BRIGHT)
    assert cache.load("model.onnx").digest == first.digest


def test_weights_that_are_overwritten_do_not_change_a_model_in_use(tmp_path: Path) -> None:
    models.outside_weights(tmp_path / "model.onnx", "w.data")
    write(tmp_path / "w.data", BRIGHT)
    white = ArrayPicture(np.full((64, 64, 3), 255, np.uint8))
    detector = make_detector(Onnx("model.onnx"), ModelCache(tmp_path))
    before = detector.detect(white, 0)
    write(tmp_path / "w.data", NOTHING)
    assert before
    assert detector.detect(white, 0) == before


def test_weights_that_were_missing_are_found_when_they_are_there(tmp_path: Path) -> None:
    models.outside_weights(tmp_path / "model.onnx", "w.data")
    cache = ModelCache(tmp_path)
    with pytest.raises(DetectorError, match=r"w\.data"):
        cache.load("model.onnx")
    write(tmp_path / "w.data", BRIGHT)
    assert count(cache)
    first = cache.load("model.onnx")
    write(tmp_path / "w.data", NOTHING)
    assert cache.load("model.onnx") is not first


def test_a_model_that_changes_while_it_is_loaded_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))

    def slow_digest(path: Path, weights: dict[str, bytes]) -> str:
        models.yolov8(path, (96, 96))
        return digest(path, weights)

    monkeypatch.setattr("app.detectors.onnx.cache.digest", slow_digest)
    cache = ModelCache(tmp_path)
    with pytest.raises(DetectorError, match="changed while it was loaded"):
        cache.load("model.onnx")
    monkeypatch.undo()
    assert cache.load("model.onnx").understood(StatedModel()).form.height == 96


def test_the_digest_of_a_model_in_one_file_is_that_of_the_file(tmp_path: Path) -> None:
    path = models.yolov8(tmp_path / "model.onnx", (64, 64))
    assert ModelCache(tmp_path).load("model.onnx").digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_cannot_be_read_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))

    def denied(path: Path) -> tuple[str, ...]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("app.detectors.onnx.cache.weight_names", denied)
    with pytest.raises(DetectorError, match="cannot be read: Permission denied"):
        ModelCache(tmp_path).load("model.onnx")


def test_only_some_ways_to_read_a_model_are_remembered(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))
    model = ModelCache(tmp_path).load("model.onnx")
    stated = [StatedModel(input=ModelInput(mean=(number, 0, 0))) for number in range(20)]
    first, *_ = [model.understood(each) for each in stated]
    assert len(model._understood) == 16
    assert model.understood(stated[-1]) is model.understood(stated[-1])
    assert model.understood(stated[0]) is not first


@pytest.mark.parametrize("at", [0, _CHUNK - 5, _CHUNK - 60, 3 * _CHUNK - 200])
def test_a_name_is_found_wherever_it_is_in_the_file(tmp_path: Path, at: int) -> None:
    name = "w" * 150
    entry = b"\x0a\x08location\x12\x96\x01" + name.encode()
    (tmp_path / "model.onnx").write_bytes(bytes(at) + entry + bytes(99))
    assert weight_names(tmp_path / "model.onnx") == (name,)
    (tmp_path / "model.onnx").write_bytes(bytes(at) + entry[:-1])  # cut off
    assert weight_names(tmp_path / "model.onnx") == ()


def test_a_model_that_is_overwritten_while_it_is_read_ends_no_process(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.touch()
    os.truncate(path, 2**30)  # takes no space
    script = (  # the child sleeps until the search has begun: no sign tells from outside that it has
        "import os, sys, time; from pathlib import Path; from app.detectors.onnx.files import weight_names\n"
        "path = Path(sys.argv[1])\n"
        "if not os.fork():\n"
        "    time.sleep(0.02); os.truncate(path, 0); os._exit(0)\n"
        "assert weight_names(path) == ()\n"
        "assert os.wait()[1] == 0\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)

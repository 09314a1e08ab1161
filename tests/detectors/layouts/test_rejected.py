"""Models that would be misread are rejected, each with a sentence that says what to do."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.layouts.candidates import Floats
from app.detectors.layouts.understanding import UnderstoodModel
from app.detectors.onnx.cache import ModelCache
from app.detectors.onnx.detector import OnnxDetector
from app.domain.detector_config import Onnx
from app.domain.model_input import StatedModel
from tests.support import models
from tests.support.pictures import ArrayPicture

SIDE = 320
CELLS = 2100  # with the strides 8, 16 and 32
NOTHING = StatedModel()
FRACTION = (0.5, 0.5, 0.3, 0.2, 0.9, 0)


def load(path: Path, stated: StatedModel = NOTHING) -> UnderstoodModel:
    return ModelCache(path.parent).load(path.name).understood(stated)


def answering(path: Path, metadata: Mapping[str, str] | None = None, **outputs: Floats) -> Path:
    return models.answering(path, outputs, (SIDE, SIDE), metadata)


def rows(count: int, *values: float) -> Floats:
    """Return (1, count, values), each row the same."""
    return np.tile(np.array(values, np.float32), (1, count, 1))


def grid(classes: int) -> Floats:
    """Return the columns of a YOLOv8 that finds nothing: a box of 32 pixels around each of 2100 places."""
    output = np.zeros((1, 4 + classes, CELLS), np.float32)
    output[0, 0] = np.linspace(0, SIDE, CELLS)
    output[0, 1] = np.tile(np.linspace(0, SIDE, 42), 50)
    output[0, 2:4] = 32
    return output


def anchored(classes: int) -> Floats:
    """Return the rows of a YOLOv5 that finds nothing."""
    columns = np.tile(grid(1 + classes), 3)
    return np.ascontiguousarray(columns.transpose(0, 2, 1))


def anchored_with_likely_classes() -> Floats:
    """Return rows of two classes with a score in every place, and objectness nowhere."""
    output = anchored(2)
    output[..., 5:] = 0.4, 0.6
    return output


def changed(output: Floats, column: int, value: float) -> Floats:
    """Return a copy of columns with other values in one of them."""
    output = output.copy()
    output[0, column] = value
    return output


def test_what_finds_nothing_is_accepted(tmp_path: Path) -> None:
    for name, output, facts in (
        ("columns", grid(3), {}),
        ("masks", grid(3 + 32), {"task": "segment", "names": "{0: 'a', 1: 'b', 2: 'c'}"}),
        ("rows", anchored(3), {}),
        ("likely", anchored_with_likely_classes(), {}),
        ("none", np.zeros((1, 300, 6), np.float32), {}),
        ("pixels", rows(300, 20, 30, 50, 60, 0.9, 1), {}),
        ("unused", rows(300, -1, -1, -1, -1, -1, -1), {}),
    ):
        load(answering(tmp_path / f"{name}.onnx", facts, output0=output))


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (rows(300, 0.2, 0.3, 0.5, 0.6, 0.9, 1), "fractions of the picture"),
        (rows(300, 160, 160, 100, 60, 0.9, 1), "centre and size instead of corners"),
        (rows(300, 20, 30, 50, 60, 4.0, 1), "raw logits"),
        (rows(CELLS, 160, 160, 100, 60, 0.95, 0.9), "a decoded YOLOX, a transposed"),
        (np.tile(np.array([[FRACTION]], np.float32).transpose(0, 2, 1), 400), "fractions of the picture"),
        (grid(80) / np.float32(16), "not decoded"),
        (grid(80) - np.array([0] * 4 + [7] * 80, np.float32)[:, None], "raw logits"),
        (changed(grid(52), 10, 200), "key points"),
        (changed(grid(35), 38, -0.4), "masks"),
        (changed(grid(4), 7, 0.81), "angle of rotated boxes"),
        (changed(changed(grid(4), 7, 0.81), 5, 0.9), "angle of rotated boxes"),
        (
            (grid(2) + np.linspace(-0.02, 0.1, CELLS) * (np.arange(6) == 5)[:, None]).astype(np.float32),
            "angles",
        ),
        (changed(changed(grid(3), 2, SIDE), 3, SIDE), "corners instead of centre and size"),
        (anchored(80) / np.float32(SIDE), "fractions of the picture"),
        (np.ascontiguousarray(grid(80).transpose(0, 2, 1)), "a transposed YOLOv8"),
    ],
)
def test_values_that_are_not_those_of_the_layout_are_rejected(
    tmp_path: Path, output: Floats, reason: str
) -> None:
    with pytest.raises(DetectorError, match=reason):
        load(answering(tmp_path / "model.onnx", output0=output))


def test_a_model_for_an_unknown_task_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"Its task is 'semantic'.* Export a detection model instead"):
        load(answering(tmp_path / "model.onnx", {"task": "semantic"}, output0=grid(3)))


@pytest.mark.parametrize(
    "row",
    [
        (0.2, 0.3, 0.5, 0.6, 0.9, 1),
        (20, 30, 50, 60, 4.0, 1),
        (20, 30, 50, 60, 1, 0.9),  # class before score
        (20, 30, 50, 60, 0, 0.9),  # and class 0, which looks like a score of 0
        (20, 30, 50, 60, np.nan, 1),
        (160, 160, 100, 60, 0.9, 1),  # centre and size
    ],
)
def test_a_model_that_finds_nothing_in_the_trial_is_rejected_when_it_finds_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: tuple[float, ...]
) -> None:
    answering(tmp_path / "model.onnx", output0=np.zeros((1, 300, 6), np.float32))
    cache = ModelCache(tmp_path)
    detector = OnnxDetector(Onnx("model.onnx"), cache)
    picture = ArrayPicture(np.zeros((SIDE, SIDE, 3), np.uint8))
    assert detector.detect(picture, 0) == ()
    monkeypatch.setattr(cache.load("model.onnx"), "infer", lambda *_: [rows(300, *row)])
    with pytest.raises(DetectorError, match=r"fractions|logits|NaN|centre and size"):
        detector.detect(picture, 1)


@pytest.mark.parametrize("task", ["detect", "object-detection", "Detection"])
def test_whatever_the_exporter_calls_detection_is_accepted(tmp_path: Path, task: str) -> None:
    load(answering(tmp_path / "model.onnx", {"task": task}, output0=grid(3)))


@pytest.mark.parametrize("count", [0, 2, 300])
def test_a_table_of_boxes_is_not_called_a_classifier(tmp_path: Path, count: int) -> None:
    with pytest.raises(DetectorError, match="export it without suppression"):
        load(answering(tmp_path / "model.onnx", output0=rows(count, 20, 30, 50, 60, 0.9, 1)[0]))


def test_a_classifier_of_one_score_is_rejected(tmp_path: Path) -> None:
    for name, score in (("logit", 2.5), ("sigmoid", 0.3), ("certain", 0.999)):
        path = answering(tmp_path / f"{name}.onnx", output0=np.array([[score]], np.float32))
        with pytest.raises(DetectorError, match="one score only"):
            load(path, StatedModel("classifier"))


def test_a_classifier_of_several_labels_is_rejected_when_a_picture_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(tmp_path / "model.onnx", {"task": "classify"}, output0=np.array([[0.99, 0.01]], np.float32))
    cache = ModelCache(tmp_path)
    detector = OnnxDetector(Onnx("model.onnx"), cache)
    monkeypatch.setattr(cache.load("model.onnx"), "infer", lambda *_: [np.array([[0.9, 0.8]], np.float32)])
    with pytest.raises(DetectorError, match="several labels"):
        detector.detect(ArrayPicture(np.zeros((SIDE, SIDE, 3), np.uint8)), 0)


def test_boxes_in_pixels_are_rejected_if_the_trial_did_not_show_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EfficientDet by AutoML has the names of TensorFlow's models."""
    boxes, scores = np.zeros((1, 9, 4), np.float32), np.zeros((1, 9), np.float32)
    answering(
        tmp_path / "model.onnx", detection_boxes=boxes, detection_scores=scores, detection_classes=scores
    )
    cache = ModelCache(tmp_path)
    detector = OnnxDetector(Onnx("model.onnx"), cache)
    found = [boxes + np.array((20, 30, 90, 120), np.float32), scores + 0.9, scores]
    monkeypatch.setattr(cache.load("model.onnx"), "infer", lambda *_: found)
    with pytest.raises(DetectorError, match="pixels instead of fractions"):
        detector.detect(ArrayPicture(np.zeros((SIDE, SIDE, 3), np.uint8)), 0)


@pytest.mark.parametrize(
    ("declared", "reasons"),
    [
        ("int8[1,3,8,8]", ["Its input is int8: export it with float32, float16 or uint8 input"]),
        ("float[1,1,8,8]", ["1 channels instead of 3"]),
        ("float[1,8,8,4]", ["4 channels instead of 3"]),
        ("double[1,8,8,1]", ["Its input is float64", "1 channels instead of 3"]),
        ("float[1,3]", ["2 axes instead of 4"]),
    ],
)
def test_an_unusable_input_is_rejected_with_what_is_wrong(
    tmp_path: Path, declared: str, reasons: list[str]
) -> None:
    models.taking(tmp_path / "model.onnx", declared)
    with pytest.raises(DetectorError) as rejected:
        load(tmp_path / "model.onnx")
    assert all(reason in str(rejected.value) for reason in reasons)


@pytest.mark.parametrize(
    ("begin", "reason"),
    [
        (b"PK\x03\x04", "It is a PyTorch file .* yolo export model=weights.pt format=onnx"),
        (b"\x80\x02}q\x00", "a PyTorch file"),
        (b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite file"),
        (b"\x89HDF\r\n\x1a\n", "a Keras file"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"<?xml version='1.0'?>", "OpenVINO"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"", "the file is empty"),
        (b"This is no model.\n" * 9, "damaged, incomplete or of another format"),
    ],
)
def test_a_file_of_another_format_is_rejected_with_its_name(
    tmp_path: Path, begin: bytes, reason: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(begin and begin.ljust(100, b"\0"))
    with pytest.raises(DetectorError, match=reason):
        load(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: models.of_version(path, ir=99), "It has version 99 of ONNX's file format (IR)"),
        (
            lambda path: models.of_version(path, opset=99),
            "It has opset 99, and this ONNX Runtime knows at most",
        ),
        (lambda path: models.of_version(path, operation="TRT.EfficientNMS_TRT"), "without --end2end"),
        (lambda path: models.of_version(path, operation="EfficientNMS_TRT"), "without --end2end"),
        (lambda path: models.of_version(path, operation="custom.Thing"), "It has the operation custom:Thing"),
        (
            lambda path: models.outside_weights(path, "w.data"),
            "weights are in the file 'w.data', which is missing",
        ),
    ],
)
def test_what_onnx_runtime_cannot_load_is_explained_in_plain_words(
    tmp_path: Path, write: Callable[[Path], Path], reason: str
) -> None:
    write(tmp_path / "model.onnx")
    with pytest.raises(DetectorError, match=re.escape(reason)) as rejected:
        load(tmp_path / "model.onnx")
    assert "onnxruntime::" not in str(rejected.value)
    assert str(tmp_path) not in str(rejected.value)


@pytest.mark.parametrize(
    ("labels", "names", "reason"),
    [
        (("class:99",), "", "no label 'class:99'. It has no names, so its labels are class:0 to class:2"),
        (("class:3",), "['a', 'b', 'c']", "no label 'class:3'. It has a, b, c"),
        (("d",), "['a', 'b', 'c']", "no label 'd'. It has a, b, c"),
        ((), "", "The list of labels is empty"),
    ],
)
def test_labels_that_nothing_can_have_are_rejected(
    tmp_path: Path, labels: tuple[str, ...], names: str, reason: str
) -> None:
    answering(tmp_path / "model.onnx", {"names": names}, output0=grid(3))
    with pytest.raises(DetectorError, match=re.escape(reason)):
        OnnxDetector(Onnx("model.onnx", labels=labels), ModelCache(tmp_path))


def test_the_number_of_a_class_is_accepted_if_an_end_to_end_model_has_no_names(tmp_path: Path) -> None:
    answering(tmp_path / "model.onnx", output0=rows(300, 20, 30, 50, 60, 0.9, 7))
    detector = OnnxDetector(Onnx("model.onnx", labels=("class:7",)), ModelCache(tmp_path))
    (found, *_) = detector.detect(ArrayPicture(np.zeros((SIDE, SIDE, 3), np.uint8)), 0)
    assert found.label == "class:7"

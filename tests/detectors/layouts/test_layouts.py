"""What is found in the outputs of each layout, with the place in the picture that it then has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.layouts.candidates import Floats
from app.detectors.onnx.cache import ModelCache
from app.detectors.onnx.detector import OnnxDetector
from app.domain.detector_config import Onnx
from tests.support import models
from tests.support.pictures import ArrayPicture

SIDE = 320
CELLS = 2100  # with the strides 8, 16 and 32
# It is twice as wide as the input, and as high: letterboxed, it has bars of 80 pixels above and below.
PICTURE = np.zeros((320, 640, 3), np.uint8)


def found(path: Path, **options: Any) -> list[tuple[int | None, float, tuple[float, ...]]]:
    config = msgspec.convert({"type": "onnx", "model": path.name, **options}, Onnx)
    detections = OnnxDetector(config, ModelCache(path.parent)).detect(ArrayPicture(PICTURE), 0)
    return [(each.class_id, round(each.confidence, 2), each.box) for each in detections]


def floats(*values: Any) -> Floats:
    return np.array(values, np.float32)


def filled(count: int, width: int, *rows: tuple[float, ...], rest: tuple[float, ...] = (0,)) -> Floats:
    """Return (1, count, width) with these rows first, and the same `rest` in all others."""
    output = np.empty((1, count, width), np.float32)
    output[:] = rest
    for number, row in enumerate(rows):
        output[0, number] = row
    return output


def on_grid(row: tuple[float, ...]) -> Floats:
    """Return (1, CELLS, width) with this row first, and rows that find nothing after it."""
    output = np.zeros((1, CELLS, len(row)), np.float32)
    output[0, :, :4] = 300, 300, 9, 9
    output[0, 0] = row
    return output


# Each is the box 40, 80, 200, 160 of the picture, of class 1 with the confidence 0.9.
BOX = (40, 80, 200, 160)
LETTERBOXED = (20, 120, 100, 160)  # in pixels of the input
STRETCHED = (20, 80, 100, 160)
PADDED = (20, 40, 100, 80)
FRACTION = (0.1875, 0.375, 0.25, 0.25)  # centre and size
FRACTION_OF_PADDED = (0.1875, 0.1875, 0.25, 0.125)
LOGIT = float(np.log(0.9 / 0.1))

CASES: dict[str, tuple[Mapping[str, Any], Mapping[str, str], Mapping[str, Any]]] = {
    "rt-detr of ultralytics": (
        {"output0": filled(300, 6, (*FRACTION, 0.9, 1))},
        {"task": "detect", "head": "RTDETRDecoder"},
        {},
    ),
    "rt-detr of ultralytics without metadata": (
        {"output0": filled(300, 6, (*FRACTION, 0.9, 1), (0.5, 0.5, 0.3, 0.2, 0.01, 0))},
        {},
        {},
    ),
    "older rt-detr of ultralytics": (
        {"output0": filled(300, 7, (*FRACTION, 0.1, 0.9, 0.2), (0.5, 0.5, 0.3, 0.2, 0.01, 0.02, 0.03))},
        {"description": "Ultralytics RT-DETR-l model", "names": "['a', 'b', 'c']"},
        {},
    ),
    "older rt-detr of ultralytics without metadata": (
        {"output0": filled(300, 7, (*FRACTION, 0.1, 0.9, 0.2))},
        {},
        {},
    ),
    "rf-detr": (
        {"dets": filled(30, 4, FRACTION), "labels": filled(30, 5, (-9, LOGIT, -9, -9, -9), rest=(-9,) * 5)},
        {},
        {},
    ),
    "d-fine of transformers": (
        {"logits": filled(30, 3, (-9, LOGIT, -9), rest=(-9,) * 3), "pred_boxes": filled(30, 4, FRACTION)},
        {},
        {"layout": "rtdetr_transformers"},
    ),
    "detr": (
        {"logits": filled(30, 4, (0, 9 + LOGIT, 0, 9), rest=(0, 0, 0, 9)),
         "pred_boxes": filled(30, 4, FRACTION_OF_PADDED)},
        {},
        {},
    ),
    "torchvision": (
        {"boxes": floats(LETTERBOXED), "labels": np.array([1]), "scores": floats(0.9)}, {}, {},
    ),
    "mmdetection": (
        {"dets": filled(9, 5, (*PADDED, 0.9)), "labels": np.array([[1] + [0] * 8])},
        {},
        {"input": {"fit": "pad", "colours": "bgr", "range": 255, "mean": [103.5, 116.3, 123.7]}},
    ),
    "tensorflow": (
        {"num_detections": floats(1), "detection_boxes": filled(9, 4, (0.375, 0.0625, 0.5, 0.3125)),
         "detection_scores": filled(1, 9, (0.9,) + (0,) * 8)[0],
         "detection_classes": filled(1, 9, (1,) * 9)[0]},
        {},
        {},
    ),
    "yolov6 with suppression": (
        {"num_dets": np.array([[1]], np.int32), "det_boxes": filled(9, 4, LETTERBOXED, LETTERBOXED),
         "det_scores": filled(1, 9, (0.9, 0.8) + (0,) * 7)[0], "det_classes": np.ones((1, 9), np.int32)},
        {},
        {},
    ),
    "yolov7 with suppression": ({"output": floats((0, *LETTERBOXED, 1, 0.9))}, {}, {}),
    "yolov10 with masks": (
        {"output0": filled(300, 38, (*LETTERBOXED, 0.9, 1, *[3.0] * 32)),
         "output1": np.zeros((1, 32, 80, 80), np.float32)},
        {},
        {},
    ),
    "decoded yolox": (
        {"output": on_grid((60, 60, 80, 40, 1, 0.1, 0.9))},
        {},
        {"layout": "yolox_decoded"},
    ),
    "transposed yolov8": (
        {"output0": on_grid((60, 140, 80, 40, 0.1, 0.9))},
        {"names": "['a', 'b']"},
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_box_is_found_at_its_place_in_every_layout(tmp_path: Path, name: str) -> None:
    outputs, facts, options = CASES[name]
    path = models.answering(tmp_path / "model.onnx", outputs, (SIDE, SIDE), facts)
    ((number, score, box),) = found(path, confidence=0.3, **options)
    assert (number, score) == (1, 0.9)
    assert box == pytest.approx(BOX, abs=0.13)


def test_a_yolox_as_it_is_exported_by_default_is_decoded(tmp_path: Path) -> None:
    output = np.random.default_rng(0).normal(0, 0.1, (1, CELLS, 7)).astype(np.float32)
    output[..., 4:] = 0
    cell = 40 * 5 + 7  # of the first grid, with a stride of 8
    output[0, cell] = (0.5, 0, np.log(10), np.log(5), 1, 0.1, 0.9)
    path = models.answering(tmp_path / "model.onnx", {"output": output}, (SIDE, SIDE))
    ((number, score, box),) = found(path)
    assert (number, score) == (1, 0.9)
    assert box == pytest.approx((40, 40, 200, 120), abs=0.13)


def test_boxes_in_pixels_of_the_stated_size_are_read(tmp_path: Path) -> None:
    """D-FINE and RT-DETR by their own exporters take the size of the picture as a second input."""
    outputs = {
        "boxes": filled(30, 4, tuple(np.array(STRETCHED) / SIDE)),
        "labels": np.ones((1, 30), np.int64),
        "scores": filled(1, 30, (0.9,) + (0,) * 29)[0],
    }
    path = models.answering(tmp_path / "model.onnx", outputs, (SIDE, SIDE))
    models.with_input(path, "orig_target_sizes", [1, 2])
    with pytest.raises(DetectorError, match="as dfine"):
        found(path)
    assert found(path, layout="dfine") == [(1, 0.9, BOX)]


def test_rotated_boxes_give_the_upright_ones_around_them(tmp_path: Path) -> None:
    output = np.zeros((1, 7, CELLS), np.float32)
    output[0, 0] = np.linspace(0, SIDE, CELLS)
    output[0, 2:4] = 9
    output[0, :, 0] = (60, 140, 80, 40, 0.1, 0.9, np.pi / 2)
    output[0, :, 1] = (60, 141, 80, 40, 0.1, 0.8, np.pi / 2)  # the same object
    output[0, :, 2] = (60, 140, 80, 40, 0.7, 0.1, 0)  # another class
    path = models.answering(tmp_path / "model.onnx", {"output0": output}, (SIDE, SIDE), {"task": "obb"})
    assert [(number, box) for number, _, box in found(path)] == [
        (1, (80, 40, 160, 200)),
        (0, (40, 80, 200, 160)),
    ]
    final = filled(300, 7, (60, 140, 80, 40, 0.9, 1, np.pi / 2))
    path = models.answering(tmp_path / "final.onnx", {"output0": final}, (SIDE, SIDE), {"task": "obb"})
    assert found(path) == [(1, 0.9, (80, 40, 160, 200))]


def test_rotated_boxes_beside_each_other_are_kept_though_the_upright_ones_overlap(tmp_path: Path) -> None:
    output = np.zeros((1, 6, CELLS), np.float32)
    output[0, 0] = np.linspace(0, SIDE, CELLS)
    output[0, 2:4] = 9
    for number, step in enumerate((0, 30)):  # parked next to each other, at 45 degrees
        output[0, :, number] = (100 + step, 140 - step, 120, 20, 0.9 - number / 10, np.pi / 4)
    path = models.answering(tmp_path / "model.onnx", {"output0": output}, (SIDE, SIDE), {"task": "obb"})
    assert len(found(path, iou=0.2)) == 2


@pytest.mark.parametrize(
    ("scores", "facts", "options", "expected"),
    [
        ((0.05, 0.9, 0.05), {"task": "classify", "names": "['a', 'b', 'c']"}, {}, 0.9),
        ((0.0, 4.0, 0.0), {}, {"layout": "classifier", "input": {"fit": "crop"}}, 0.96),
    ],
)
def test_a_classifier_gives_a_label_for_the_whole_picture(
    tmp_path: Path,
    scores: tuple[float, ...],
    facts: dict[str, str],
    options: dict[str, Any],
    expected: float,
) -> None:
    path = models.answering(tmp_path / "model.onnx", {"output0": floats(scores)}, (224, 224), facts)
    assert found(path, **options) == [(1, expected, (0, 0, 640, 320))]
    assert found(path, confidence=0.99, **options) == []


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize(("is_channels_last", "batch"), [(False, 1), (True, 1), (False, 4)])
def test_a_square_is_found_whatever_the_input_is_like(
    tmp_path: Path, dtype: str, is_channels_last: bool, batch: int
) -> None:
    path = models.taking_otherwise(
        tmp_path / "model.onnx", dtype, is_channels_last=is_channels_last, batch=batch
    )
    image = np.zeros((720, 1280, 3), np.uint8)
    image[168:232, 256:320] = (0, 0, 255)  # red
    (red,) = OnnxDetector(Onnx(path.name, confidence=0.9), ModelCache(tmp_path)).detect(
        ArrayPicture(image), 0
    )
    assert (red.label, red.box) == ("red", (256, 168, 320, 232))


@pytest.mark.parametrize(
    ("outputs", "facts", "options", "reason"),
    [
        ({"dets": filled(9, 5), "labels": np.zeros((1, 9), int)}, {}, {}, "State the detector's `input`"),
        ({"output0": floats((0.1, 0.9))}, {}, {}, "state the detector's `layout` as classifier"),
        ({"output0": floats((0.1, 0.9))}, {}, {"layout": "classifier"}, "State the detector's `input`"),
        ({"output0": filled(9, 6, (*FRACTION, 0.9, 1))}, {}, {"input": {"width": 640}}, "320 pixels, not"),
        (
            {"logits": filled(30, 3) + 0.5, "pred_boxes": filled(30, 4)}, {}, {"layout": "rfdetr"},
            "probabilities already",
        ),
        (
            {"dets": filled(30, 4, (60, 60, 80, 40)), "labels": filled(30, 5) - 9}, {}, {},
            "pixels instead of fractions",
        ),
        (
            {"boxes": filled(30, 4, FRACTION), "labels": np.ones((1, 30), np.int64),
             "scores": np.ones((1, 30), np.float32)},
            {}, {"layout": "dfine"}, "fractions of the picture",
        ),
        (
            {"dets": filled(30, 4), "labels": filled(30, 5) - 9}, {"names": "['a', 'b']"}, {},
            "5 classes, but 2 names",
        ),
        (
            {"output0": filled(300, 6, (20, 30, 50, 60, 0.9, 1))}, {"task": "classify"}, {},
            "is no row of scores",
        ),
        ({"output0": filled(300, 6, (np.nan,) * 6)}, {}, {"layout": "yolov10"}, "NaN.*half=False"),
        ({"output0": np.full((1, 7, CELLS), np.nan, np.float32)}, {}, {}, "have NaN"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_or_is_not_certain_is_rejected(
    tmp_path: Path, outputs: dict[str, Any], facts: dict[str, str], options: dict[str, Any], reason: str
) -> None:
    path = models.answering(tmp_path / "model.onnx", outputs, (SIDE, SIDE), facts)
    with pytest.raises(DetectorError, match=reason):
        found(path, **options)


def test_names_can_be_stated_and_must_be_as_many_as_the_classes(tmp_path: Path) -> None:
    path = models.yolov8(tmp_path / "model.onnx", (SIDE, SIDE), {"names": models.NAMES})
    detector = OnnxDetector(Onnx(path.name, names=("lamp", "rose"), labels=("rose",)), ModelCache(tmp_path))
    assert detector.understood.labels == {0: "lamp", 1: "rose"}
    with pytest.raises(DetectorError, match="2, but there are 3 names"):
        OnnxDetector(Onnx(path.name, names=("a", "b", "c")), ModelCache(tmp_path))


def test_a_uint8_input_has_no_mean(tmp_path: Path) -> None:
    path = models.taking_otherwise(tmp_path / "model.onnx", "uint8")
    with pytest.raises(DetectorError, match="uint8, which is 0 to 255"):
        found(path, input={"mean": [1, 2, 3]})

"""Layouts that the user states, and which are rejected."""

import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.layouts.layout import Layout, Output, Variant
from app.detectors.layouts.recognition import recognize
from app.domain.model_input import LayoutName
from tests.detectors.layouts.outputs import (
    V8_ANCHORS,
    layout_of_first,
    metadata,
    outputs_of,
    values,
)


def test_outputs_of_a_stated_layout_that_only_names_tell_apart_must_have_these_names() -> None:
    """TensorFlow Lite writes boxes, classes, scores: in the order of others, a class would be a score."""
    for stated in ("tensorflow", "dfine", "torchvision"):
        shapes = {"a": (1, 9, 4), "b": (1, 9), "c": (1, 9)}
        with pytest.raises(DetectorError, match="do not have the names of the layout"):
            recognize(outputs_of(shapes), (640, 640), metadata(), stated)
        with pytest.raises(DetectorError, match="do not have the names"):
            recognize(outputs_of({"a": (1, 9, 4)}), (640, 640), metadata(), stated)
    shapes = {"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}
    found = recognize(outputs_of(shapes), (640, 640), metadata(), "dfine")
    assert found.outputs == ("boxes", "scores", "labels")


def test_fewer_stated_names_than_classes_are_rejected_unless_other_values_follow() -> None:
    output = np.random.default_rng(0).random((1, 84, V8_ANCHORS), np.float32)
    with pytest.raises(DetectorError, match="It has 80 classes, but 2 names"):
        recognize([Output("output0", output)], (640, 640), metadata(2), "yolov8")
    for name in ("yolov5", "yolox_decoded"):
        rows = np.ascontiguousarray(output.transpose(0, 2, 1))
        with pytest.raises(DetectorError, match="It has 79 classes, but 2 names"):
            recognize([Output("output0", rows)], (640, 640), metadata(2), name)
    output[0, 6:] -= 0.5  # masks
    found = recognize([Output("output0", output)], (640, 640), metadata(2), "yolov8")
    assert found == layout_of_first("yolov8", 2)


def test_a_decoded_yolox_is_not_read_as_one_that_is_not() -> None:
    """The sizes in pixels would be taken for logarithms: infinite boxes, so that nothing were found."""
    output = values(1, V8_ANCHORS, 85)
    output[..., :2] = 300
    with pytest.raises(DetectorError, match="state its `layout` as yolox_decoded"):
        recognize([Output("output0", output)], (640, 640), metadata(), "yolox")
    with pytest.raises(DetectorError, match="not in the cells"):
        recognize([Output("output0", values(1, 300, 85))], (640, 640), metadata(), "yolox")


@pytest.mark.parametrize("shape", [(), (0,), (1, 0)])
def test_a_stated_classifier_without_scores_is_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(DetectorError, match="not those of the layout classifier"):
        recognize([Output("output0", np.zeros(shape, np.float32))], (224, 224), metadata(), "classifier")


@pytest.mark.parametrize(
    ("stated", "shape", "named", "expected"),
    [
        ("yolov8", (1, 84, 8400), 0, ("yolov8", 80, "plain")),
        ("yolov8", (1, 8400, 84), 0, ("yolov8", 80, "transposed")),
        ("yolov5", (1, 25200, 85), 0, ("yolov5", 80, "plain")),
        ("yolox_decoded", (1, 8400, 85), 80, ("yolox_decoded", 80, "plain")),
        ("yolov10", (1, 300, 38), 3, ("yolov10", 3, "plain")),
        ("rtdetr_ultralytics", (1, 300, 84), 0, ("rtdetr_ultralytics", 80, "plain")),
        ("rtdetr_ultralytics", (1, 300, 6), 0, ("rtdetr_ultralytics", 0, "end_to_end")),
        ("yolo_obb", (1, 20, 8400), 15, ("yolo_obb", 15, "plain")),
        ("yolo_obb", (1, 300, 7), 15, ("yolo_obb", 15, "end_to_end")),
        ("yolov7_nms", (5, 7), 0, ("yolov7_nms", 0, "plain")),
        ("yolox", (1, 8400, 85), 80, ("yolox", 80, "plain")),
    ],
)
def test_a_stated_layout_is_used_if_the_outputs_can_be_of_it(
    stated: LayoutName, shape: tuple[int, ...], named: int, expected: tuple[LayoutName, int, Variant]
) -> None:
    found = recognize([Output("output0", values(*shape))], (640, 640), metadata(named), stated)
    assert found == layout_of_first(*expected)


def test_a_stated_layout_of_several_outputs_needs_no_names() -> None:
    shapes = {"4": (1, 300, 80), "5": (1, 300, 4)}
    found = recognize(outputs_of(shapes), (640, 640), metadata(), "rtdetr_transformers")
    assert found == Layout("rtdetr_transformers", 80, ("4", "5"))
    named = {"pred_boxes": (1, 300, 4), "logits": (1, 300, 91)}
    assert recognize(outputs_of(named), (640, 640), metadata(), "rfdetr").outputs == ("logits", "pred_boxes")


@pytest.mark.parametrize(
    ("stated", "shape", "named"),
    [
        ("yolov8", (1, 300), 0),
        ("yolov8", (1, 4, 8400), 0),
        ("yolov8", (1, 84, 8400), 81),
        ("yolov10", (1, 300, 5), 0),
        ("yolov7_nms", (1, 300, 7), 0),
        ("classifier", (1, 300, 7), 0),
        ("detr", (1, 300, 7), 0),
    ],
)
def test_a_stated_layout_that_the_outputs_cannot_have_is_rejected(
    stated: LayoutName, shape: tuple[int, ...], named: int
) -> None:
    with pytest.raises(DetectorError, match=f"are not those of the layout {stated}"):
        recognize([Output("output0", values(*shape))], (640, 640), metadata(named), stated)

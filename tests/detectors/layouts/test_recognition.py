"""How a network's outputs are told to hold boxes, and which are rejected."""

import re

import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.layouts.candidates import Floats
from app.detectors.layouts.layout import Layout, Output
from app.detectors.layouts.metadata import Metadata, read_metadata
from app.detectors.layouts.recognition import recognize
from tests.detectors.layouts.outputs import (
    V5_ANCHORS,
    V8_ANCHORS,
    layout,
    layout_of_first,
    metadata,
    outputs_of,
    values,
)

MASKS = np.zeros((1, 32, 160, 160), np.float32)


@pytest.mark.parametrize(
    ("shape", "named", "expected"),
    [
        ((1, 84, V8_ANCHORS), 80, layout_of_first("yolov8", 80)),
        ((1, 84, V8_ANCHORS), 0, layout_of_first("yolov8", 80)),
        ((1, 6, V8_ANCHORS), 2, layout_of_first("yolov8", 2)),
        ((1, 5, V8_ANCHORS), 1, layout_of_first("yolov8", 1)),
        ((1, 84, 1917), 0, layout_of_first("yolov8", 80)),
        ((1, V5_ANCHORS, 85), 80, layout_of_first("yolov5", 80)),
        ((1, V5_ANCHORS, 85), 0, layout_of_first("yolov5", 80)),
        ((1, V5_ANCHORS, 6), 1, layout_of_first("yolov5", 1)),
        ((1, V5_ANCHORS, 7), 0, layout_of_first("yolov5", 2)),
        ((1, V5_ANCHORS + 300, 6), 1, layout_of_first("yolov5", 1)),  # with a fourth stride: 64
        ((1, V5_ANCHORS + 76800, 6), 0, layout_of_first("yolov5", 1)),  # with a fourth stride: 4
        ((1, V8_ANCHORS, 84), 80, layout_of_first("yolov8", 80, "transposed")),
        ((1, V8_ANCHORS, 6), 2, layout_of_first("yolov8", 2, "transposed")),
        ((1, 6000, 6), 1, layout_of_first("yolov5", 1)),  # v3-tiny: strides 16 and 32
    ],
)
def test_the_shape_of_the_output_tells_the_layout(
    shape: tuple[int, ...], named: int, expected: Layout
) -> None:
    assert layout(values(*shape), metadata(named)) == expected


@pytest.mark.parametrize(("rows", "named"), [(300, 80), (300, 0), (5, 0), (0, 0)])
def test_six_columns_with_a_class_number_are_end_to_end(rows: int, named: int) -> None:
    output = np.zeros((1, rows, 6), np.float32)
    assert layout(output, metadata(named)) == layout_of_first("yolov10", named)


def test_a_class_number_tells_300_boxes_of_an_end_to_end_network_from_those_of_a_grid() -> None:
    size = (128, 160)  # a v3-tiny of one class has 3 × (8 × 10 + 4 × 5) = 300 boxes, too
    assert layout(np.zeros((1, 300, 6), np.float32), metadata(1), size=size) == layout_of_first("yolov10", 1)
    assert layout(values(1, 300, 6), metadata(1), size=size) == layout_of_first("yolov5", 1)


def test_the_usual_boxes_of_end_to_end_networks_are_no_grid_of_any_size() -> None:
    for height in range(32, 1300, 32):
        for width in range(32, 1300, 32):
            for rows in (100, 300, 1000):
                output = np.zeros((1, rows, 6), np.float32)
                assert layout(output, metadata(2), size=(height, width)).name == "yolov10"


def test_one_row_per_cell_is_read_if_objectness_is_1_as_in_yolov6() -> None:
    output = values(1, V8_ANCHORS, 85)
    output[..., 4] = 1
    assert layout(output, metadata()) == layout_of_first("yolov5", 80)
    assert layout(output[..., :6], metadata()) == layout_of_first("yolov5", 1)


@pytest.mark.parametrize(
    ("output", "facts", "others", "expected"),
    [
        (
            np.zeros((1, 300, 38), np.float32),
            metadata(3, task="segment"),
            (MASKS,),
            layout_of_first("yolov10", 3),
        ),
        (np.zeros((1, 300, 57), np.float32), metadata(1, task="pose"), (), layout_of_first("yolov10", 1)),
        (values(1, 116, V8_ANCHORS), metadata(80, task="segment"), (MASKS,), layout_of_first("yolov8", 80)),
        (values(1, 39, V8_ANCHORS), metadata(0, task="segment"), (MASKS,), layout_of_first("yolov8", 3)),
        (values(1, 56, V8_ANCHORS), metadata(1, task="pose"), (), layout_of_first("yolov8", 1)),
        (
            values(1, 56, V8_ANCHORS),
            metadata(0, task="pose", kpt_shape="[17, 3]"),
            (),
            layout_of_first("yolov8", 1),
        ),
        (
            values(1, V5_ANCHORS, 117),
            metadata(80),
            (MASKS,),
            layout_of_first("yolov5", 80),
        ),  # YOLOv5 has no `task`
    ],
)
def test_masks_and_key_points_are_left_aside(
    output: Floats, facts: Metadata, others: tuple[Floats, ...], expected: Layout
) -> None:
    assert layout(output, facts, *others) == expected


def test_feature_maps_and_an_auxiliary_head_are_left_aside() -> None:
    maps = [np.zeros((1, 3, side, side, 85), np.float32) for side in (80, 40, 20)]
    assert layout(values(1, V5_ANCHORS, 85), metadata(80), *maps) == layout_of_first("yolov5", 80)
    assert layout(values(1, 84, V8_ANCHORS), metadata(), values(1, 84, V8_ANCHORS)) == layout_of_first(
        "yolov8", 80
    )


@pytest.mark.parametrize(
    ("shape", "named", "reason"),
    [
        ((1, 1000), 0, "a classifier's"),
        ((1, 80, 80, 255), 0, "not decoded"),
        ((1, 3, 80, 80, 85), 0, "not decoded"),
        ((1, 4, V8_ANCHORS), 0, "which is not known"),
        ((1, V8_ANCHORS + 1, 4), 0, "which is not known"),
        ((2, 84, V8_ANCHORS), 80, "which is not known"),
        ((1, 5929, 7), 2, "which is not known"),
        ((1, 300, 84), 0, "RT-DETR"),
        ((1, 300, 38), 0, "masks or key points"),
        ((1, 300, 57), 0, "masks or key points"),
        ((1, 300, 6), 0, "which is not known"),  # the sixth column is no class number
        ((1, V8_ANCHORS, 84), 0, "transposed YOLOv8"),
        ((1, V8_ANCHORS, 85), 80, "YOLOX"),
        ((1, V8_ANCHORS, 6), 1, "YOLOX"),
        ((1, V8_ANCHORS + 100, 112), 0, "NanoDet"),
        ((100, 7), 0, "after suppression"),
        ((1, 40, V8_ANCHORS), 80, "36, but there are 80 names"),
        ((1, 7, V8_ANCHORS), 1, "3, but there is 1 name"),
        ((1, V5_ANCHORS, 84), 80, "79, but there are 80 names"),
    ],
)
def test_any_other_shape_is_rejected_with_the_reason(shape: tuple[int, ...], named: int, reason: str) -> None:
    with pytest.raises(DetectorError, match=reason):
        layout(values(*shape), metadata(named))


NAMED = [
    ("detr", {"logits": (1, 20, 92), "pred_boxes": (1, 20, 4)}, 91),
    ("detr", {"pred_boxes": (1, 20, 4), "pred_logits": (1, 20, 6), "last": (1, 20, 256)}, 5),
    ("torchvision", {"boxes": (7, 4), "labels": (7,), "scores": (7,), "masks": (7, 1, 640, 640)}, 0),
    ("torchvision", {"boxes": (0, 4), "labels": (0,), "scores": (0,)}, 0),
    ("rfdetr", {"dets": (1, 300, 4), "labels": (1, 300, 91)}, 91),
    ("mmdetection", {"dets": (1, 100, 5), "labels": (1, 100)}, 0),
    (
        "yolov6_nms",
        {"num_dets": (1, 1), "det_boxes": (1, 9, 4), "det_scores": (1, 9), "det_classes": (1, 9)},
        0,
    ),
    (
        "tensorflow",
        {"num_detections:0": (1,), "detection_boxes:0": (1, 9, 4), "detection_scores:0": (1, 9),
         "detection_classes:0": (1, 9), "raw_detection_boxes:0": (1, 1917, 4)},
        0,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shapes", "classes"), NAMED)
def test_the_names_of_several_outputs_tell_the_layout(
    name: str, shapes: dict[str, tuple[int, ...]], classes: int
) -> None:
    found = recognize(outputs_of(shapes), (640, 640), metadata())
    assert (found.name, found.classes) == (name, classes)
    assert set(found.outputs) <= shapes.keys()


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"logits": (1, 300, 80), "pred_boxes": (1, 300, 4)}, "State the detector's `layout`: rtdetr_trans"),
        ({"logits": (1, 300, 1), "pred_boxes": (1, 300, 4)}, "State the detector's `layout`: rtdetr_trans"),
        ({"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}, "DEIMv2, .* `layout` as dfine"),
        ({"boxes": (1, 300, 4), "labels": (1, 300), "scores": (1, 200)}, "known network and other shapes"),
        ({"dets": (1, 300, 6), "labels": (1, 300)}, "known network and other shapes"),
        ({"a": (1, V8_ANCHORS, 4), "b": (1, V8_ANCHORS, 80)}, "as of YOLO-NAS and PP-YOLOE"),
        ({"a": (1, 84, 300), "b": (1, 300, 4)}, "state it as the detector's `layout`"),
    ],
)
def test_outputs_that_could_be_of_several_networks_are_rejected(
    shapes: dict[str, tuple[int, ...]], reason: str
) -> None:
    with pytest.raises(DetectorError, match=reason) as rejected:
        recognize(outputs_of(shapes, nothing=0), (640, 640), metadata())
    for name, shape in list(shapes.items())[:4]:
        assert f"'{name}' {list(shape)}" in str(rejected.value)


@pytest.mark.parametrize("last", [-4.5, -0.1])
def test_a_last_class_that_is_only_likelier_than_the_others_is_not_for_nothing(last: float) -> None:
    """RT-DETR of two classes, of which the second was more frequent in training."""
    logits = np.full((1, 300, 2), -7, np.float32)
    logits[..., 1] = last
    outputs = [Output("logits", logits), Output("pred_boxes", np.full((1, 300, 4), 0.5, np.float32))]
    with pytest.raises(DetectorError, match="State the detector's `layout`"):
        recognize(outputs, (640, 640), metadata())
    logits[..., 1] = 3
    assert recognize(outputs, (640, 640), metadata()).name == "detr"


def test_a_classifier_that_gives_several_labels_is_rejected() -> None:
    scores = np.array([[0.9, 0.1, 0.8]], np.float32)
    with pytest.raises(DetectorError, match="several labels"):
        layout(scores, metadata(task="classify"))
    with pytest.raises(DetectorError, match="several labels"):
        recognize([Output("output0", scores)], (224, 224), metadata(), "classifier")


def test_a_classifier_is_told_by_its_metadata() -> None:
    scores = np.full((1, 4), 0.25, np.float32)
    assert layout(scores, metadata(4, task="classify")) == layout_of_first("classifier", 4)
    assert layout(scores - 1, metadata(4, task="classify")) == layout_of_first("classifier", 4, "logits")
    stated = recognize([Output("output0", scores * 9)], (224, 224), metadata(), "classifier")
    assert stated == layout_of_first("classifier", 4, "logits")


def test_rows_with_the_number_of_the_picture_are_told_from_a_classifier_of_seven_classes() -> None:
    rows = np.array([[0, 10, 20, 30, 40, 2, 0.9]], np.float32)
    assert layout(rows, metadata()) == layout_of_first("yolov7_nms", 0)
    assert layout(rows[:0], metadata()) == layout_of_first("yolov7_nms", 0)
    certain = [0, 0, 0, 0, 0, 0, 1]
    for wrong in (
        certain,
        [1, 10, 20, 30, 40, 2, 0.9],
        [0, 30, 20, 10, 40, 2, 0.9],
        [0, 10, 20, 30, 40, 2, 1.9],
    ):
        with pytest.raises(DetectorError, match="a classifier's"):
            layout(np.array([wrong], np.float32), metadata())


def test_masks_without_metadata_are_told_by_their_planes_but_key_points_are_not() -> None:
    assert layout(values(1, 39, V8_ANCHORS), metadata(), MASKS) == layout_of_first("yolov8", 3)
    with pytest.raises(DetectorError, match="does not tell its classes"):
        layout(values(1, 56, V8_ANCHORS), metadata(task="pose"))


def test_names_with_numbers_that_no_class_has_are_left_out() -> None:
    assert read_metadata({"names": str({"9" * 5000: "a", 7: "b", "-1": "c"})}).names == {7: "b"}


def test_an_output_that_is_not_float32_is_rejected() -> None:
    with pytest.raises(DetectorError, match=re.escape("[1, 84, 8400] is int64 instead of float32")):
        recognize([Output("output0", np.zeros((1, 84, V8_ANCHORS), np.int64))], (640, 640), metadata())
    with pytest.raises(DetectorError, match="is a sequence"):
        recognize([Output("output0", None)], (640, 640), metadata())


@pytest.mark.parametrize(
    "shapes",
    [
        {"boxes": (1, V8_ANCHORS, 4), "scores": (1, V8_ANCHORS, 80)},  # YOLO-NAS
        {"boxes": (1, V8_ANCHORS, 4), "scores": (1, 80, V8_ANCHORS)},  # PP-YOLOE
        {"scores": (1, V8_ANCHORS, 80), "boxes": (1, V8_ANCHORS, 4)},
    ],
)
def test_boxes_with_class_scores_are_called_by_their_kind(shapes: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(DetectorError, match="as of YOLO-NAS and PP-YOLOE"):
        recognize(outputs_of(shapes), (640, 640), metadata())

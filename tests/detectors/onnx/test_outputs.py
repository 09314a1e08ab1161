"""How a network's outputs are told to hold boxes, and which are rejected."""

import re

import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.onnx.metadata import Metadata, read_metadata
from app.detectors.onnx.outputs import Output, layout_of
from app.detectors.onnx.yolo import Floats, Layout

V5_ANCHORS, V8_ANCHORS = 25200, 8400  # of a 640×640 input
MASKS = np.zeros((1, 32, 160, 160), np.float32)


def metadata(names: int = 0, **entries: str) -> Metadata:
    return read_metadata({"names": str({number: f"n{number}" for number in range(names)}), **entries})


def values(*shape: int) -> Floats:
    """Return values with a class score of 0.5 in the sixth column, so that it is no class number."""
    output = np.zeros(shape, np.float32)
    output[..., 5:6] = 0.5
    return output


def layout(output: Floats, facts: Metadata, *others: Floats, size: tuple[int, int] = (640, 640)) -> Layout:
    outputs = [Output("output0", output), *(Output(f"output{n}", each) for n, each in enumerate(others, 1))]
    return layout_of(outputs, *size, facts)


@pytest.mark.parametrize(
    ("shape", "named", "expected"),
    [
        ((1, 84, V8_ANCHORS), 80, Layout("columns", 80)),
        ((1, 84, V8_ANCHORS), 0, Layout("columns", 80)),
        ((1, 6, V8_ANCHORS), 2, Layout("columns", 2)),
        ((1, 5, V8_ANCHORS), 1, Layout("columns", 1)),
        ((1, 84, 1917), 0, Layout("columns", 80)),
        ((1, V5_ANCHORS, 85), 80, Layout("rows", 80)),
        ((1, V5_ANCHORS, 85), 0, Layout("rows", 80)),
        ((1, V5_ANCHORS, 6), 1, Layout("rows", 1)),
        ((1, V5_ANCHORS, 7), 0, Layout("rows", 2)),
        ((1, V5_ANCHORS + 300, 6), 1, Layout("rows", 1)),  # with a fourth stride: 64
        ((1, V5_ANCHORS + 76800, 6), 0, Layout("rows", 1)),  # with a fourth stride: 4
        ((1, 6000, 6), 1, Layout("rows", 1)),  # v3-tiny: strides 16 and 32
    ],
)
def test_the_shape_of_the_output_tells_the_layout(
    shape: tuple[int, ...], named: int, expected: Layout
) -> None:
    assert layout(values(*shape), metadata(named)) == expected


@pytest.mark.parametrize(("rows", "named"), [(300, 80), (300, 0), (5, 0), (0, 0)])
def test_six_columns_with_a_class_number_are_end_to_end(rows: int, named: int) -> None:
    output = np.zeros((1, rows, 6), np.float32)
    assert layout(output, metadata(named)) == Layout("end_to_end", named)


def test_a_class_number_tells_300_boxes_of_an_end_to_end_network_from_those_of_a_grid() -> None:
    size = (128, 160)  # a v3-tiny of one class has 3 × (8 × 10 + 4 × 5) = 300 boxes, too
    assert layout(np.zeros((1, 300, 6), np.float32), metadata(1), size=size) == Layout("end_to_end", 1)
    assert layout(values(1, 300, 6), metadata(1), size=size) == Layout("rows", 1)


def test_the_usual_boxes_of_end_to_end_networks_are_no_grid_of_any_size() -> None:
    for height in range(32, 1300, 32):
        for width in range(32, 1300, 32):
            for rows in (100, 300, 1000):
                output = np.zeros((1, rows, 6), np.float32)
                assert layout(output, metadata(2), size=(height, width)).name == "end_to_end"


def test_one_row_per_cell_is_read_if_objectness_is_1_as_in_yolov6() -> None:
    output = values(1, V8_ANCHORS, 85)
    output[..., 4] = 1
    assert layout(output, metadata()) == Layout("rows", 80)
    assert layout(output[..., :6], metadata()) == Layout("rows", 1)


@pytest.mark.parametrize(
    ("output", "facts", "others", "expected"),
    [
        (np.zeros((1, 300, 38), np.float32), metadata(3, task="segment"), (MASKS,), Layout("end_to_end", 3)),
        (np.zeros((1, 300, 57), np.float32), metadata(1, task="pose"), (), Layout("end_to_end", 1)),
        (values(1, 116, V8_ANCHORS), metadata(80, task="segment"), (MASKS,), Layout("columns", 80)),
        (values(1, 39, V8_ANCHORS), metadata(0, task="segment"), (MASKS,), Layout("columns", 3)),
        (values(1, 56, V8_ANCHORS), metadata(1, task="pose"), (), Layout("columns", 1)),
        (values(1, 56, V8_ANCHORS), metadata(0, task="pose", kpt_shape="[17, 3]"), (), Layout("columns", 1)),
        (values(1, V5_ANCHORS, 117), metadata(80), (MASKS,), Layout("rows", 80)),  # YOLOv5 has no `task`
    ],
)
def test_masks_and_key_points_are_left_aside(
    output: Floats, facts: Metadata, others: tuple[Floats, ...], expected: Layout
) -> None:
    assert layout(output, facts, *others) == expected


def test_feature_maps_and_an_auxiliary_head_are_left_aside() -> None:
    maps = [np.zeros((1, 3, side, side, 85), np.float32) for side in (80, 40, 20)]
    assert layout(values(1, V5_ANCHORS, 85), metadata(80), *maps) == Layout("rows", 80)
    assert layout(values(1, 84, V8_ANCHORS), metadata(), values(1, 84, V8_ANCHORS)) == Layout("columns", 80)


@pytest.mark.parametrize(
    ("shape", "named", "reason"),
    [
        ((1, 1000), 0, "a classifier's"),
        ((1, 80, 80, 255), 0, "not decoded"),
        ((1, 3, 80, 80, 85), 0, "not decoded"),
        ((1, 4, V8_ANCHORS), 0, "no YOLO layout"),
        ((1, V8_ANCHORS + 1, 4), 0, "no YOLO layout"),
        ((2, 84, V8_ANCHORS), 80, "no YOLO layout"),
        ((1, 5929, 7), 2, "no YOLO layout"),
        ((1, 300, 84), 0, "RT-DETR"),
        ((1, 300, 38), 0, "masks or key points"),
        ((1, 300, 57), 0, "masks or key points"),
        ((1, 300, 6), 0, "no YOLO layout"),  # the sixth column is no class number
        ((1, V8_ANCHORS, 84), 0, "transposed YOLOv8"),
        ((1, V8_ANCHORS, 84), 80, "transposed YOLOv8"),
        ((1, V8_ANCHORS, 6), 2, "transposed YOLOv8"),
        ((1, V8_ANCHORS, 85), 80, "YOLOX"),
        ((1, V8_ANCHORS, 6), 1, "YOLOX"),
        ((1, V8_ANCHORS + 100, 112), 0, "NanoDet"),
        ((100, 7), 0, "without --end2end"),
        ((1, 40, V8_ANCHORS), 80, "36, but the metadata names 80"),
        ((1, 7, V8_ANCHORS), 1, "3, but the metadata names 1"),
        ((1, V5_ANCHORS, 84), 80, "79, but the metadata names 80"),
    ],
)
def test_any_other_shape_is_rejected_with_the_reason(shape: tuple[int, ...], named: int, reason: str) -> None:
    with pytest.raises(DetectorError, match=reason):
        layout(values(*shape), metadata(named))


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"logits": (1, 300, 80), "pred_boxes": (1, 300, 4)}, "a DETR network"),
        ({"pred_logits": (1, 100, 92), "pred_boxes": (1, 100, 4), "last": (1, 100, 256)}, "a DETR network"),
        ({"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}, "torchvision or D-FINE"),
        ({"boxes": (7, 4), "labels": (7,), "scores": (7,)}, "torchvision or D-FINE"),
        ({"dets": (1, 300, 4), "labels": (1, 300, 91)}, "an RF-DETR network"),
        ({"dets": (1, 100, 5), "labels": (1, 100)}, "an MMDetection network"),
        (
            {
                "num_dets": (1, 1),
                "det_boxes": (1, 100, 4),
                "det_scores": (1, 100),
                "det_classes": (1, 100),
            },
            "without --end2end",
        ),
        ({"a": (1, V8_ANCHORS, 4), "b": (1, V8_ANCHORS, 80)}, "separate outputs are not read"),
        ({"a": (1, 84, 300), "b": (1, 300, 4)}, "separate outputs are not read"),
    ],
)
def test_boxes_and_scores_in_separate_outputs_are_rejected(
    shapes: dict[str, tuple[int, ...]], reason: str
) -> None:
    outputs = [Output(name, np.zeros(shape, np.float32)) for name, shape in shapes.items()]
    with pytest.raises(DetectorError, match=reason) as rejected:
        layout_of(outputs, 640, 640, metadata())
    for name, shape in list(shapes.items())[:4]:
        assert f"'{name}' {list(shape)}" in str(rejected.value)


def test_masks_without_metadata_are_rejected() -> None:
    with pytest.raises(DetectorError, match="segmentation network without metadata"):
        layout(values(1, 39, V8_ANCHORS), metadata(), MASKS)
    with pytest.raises(DetectorError, match="does not tell its classes"):
        layout(values(1, 56, V8_ANCHORS), metadata(task="pose"))


def test_an_output_that_is_not_float32_is_rejected() -> None:
    with pytest.raises(DetectorError, match=re.escape("[1, 84, 8400] is float16 instead of float32")):
        layout_of([Output("output0", np.zeros((1, 84, V8_ANCHORS), np.float16))], 640, 640, metadata())
    with pytest.raises(DetectorError, match="is a sequence"):
        layout_of([Output("output0", None)], 640, 640, metadata())

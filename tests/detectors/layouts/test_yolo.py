"""The boxes in YOLO outputs, and non-maximum suppression."""

import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.layouts.candidates import Candidates, Floats, nms
from app.detectors.layouts.detr import softmax
from app.detectors.layouts.families import decode
from app.detectors.layouts.layout import Layout
from app.detectors.layouts.trial import check_found

SIZE = (640, 640)


def candidates(output: Floats, layout: Layout, confidence: float) -> Candidates:
    return decode([output[None]], layout, SIZE, confidence)


def test_columns_have_centre_size_and_class_scores() -> None:
    output = np.zeros((4 + 2 + 3, 50), np.float32)  # three columns of something else
    output[:, 7] = (100, 50, 20, 10, 0.2, 0.8, 9, 9, 9)
    output[:, 9] = (10, 10, 20, 20, 0.3, 0.1, 9, 9, 9)
    found = candidates(output, Layout("yolov8", 2), 0.25)
    assert found.boxes.tolist() == [[90, 45, 110, 55], [0, 0, 20, 20]]
    assert found.scores.tolist() == pytest.approx([0.8, 0.3])
    assert found.classes.tolist() == [1, 0]


def test_the_score_of_a_row_is_objectness_times_class() -> None:
    output = np.zeros((50, 7), np.float32)
    output[7] = (100, 50, 20, 10, 0.5, 0.2, 0.8)
    output[8] = (100, 50, 20, 10, 0.5, 0.2, 0.4)
    output[9] = (10, 10, 20, 20, 0.9, 0.9, 0.1)
    found = candidates(output, Layout("yolov5", 2), 0.25)
    assert found.boxes.tolist() == [[90, 45, 110, 55], [0, 0, 20, 20]]
    assert found.scores.tolist() == pytest.approx([0.4, 0.81])
    assert found.classes.tolist() == [1, 0]


def test_end_to_end_rows_are_used_as_they_are() -> None:
    output = np.zeros((300, 6), np.float32)
    output[0] = (90, 45, 110, 55, 0.7, 3)
    output[1] = (90, 45, 110, 55, 0.1, 3)
    found = candidates(output, Layout("yolov10", 0), 0.25)
    assert found.boxes.tolist() == [[90, 45, 110, 55]]
    assert found.classes.tolist() == [3]


def test_fractions_and_logits_are_rejected_if_the_trial_did_not_show_them() -> None:
    output = np.zeros((300, 6), np.float32)
    layout = Layout("yolov10", 0)
    output[0] = (0.2, 0.3, 0.5, 0.6, 0.9, 1)
    with pytest.raises(DetectorError, match="fractions"):
        check_found(candidates(output, layout, 0.25), layout, (640, 640))
    output[0] = (20, 30, 50, 60, 4.0, 1)
    with pytest.raises(DetectorError, match="logits"):
        check_found(candidates(output, layout, 0.25), layout, (640, 640))


@pytest.mark.parametrize("layout", [Layout("yolov8", 2), Layout("yolov5", 1), Layout("yolov10", 2)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_give_no_box(layout: Layout, value: float) -> None:
    assert len(candidates(np.full((6, 6), value, np.float32), layout, 0.25).scores) == 0


def test_nms_removes_only_overlapping_boxes_of_the_same_class() -> None:
    output = np.zeros((6, 50), np.float32)
    output[:, 0] = (100, 100, 40, 40, 0.9, 0)
    output[:, 1] = (104, 100, 40, 40, 0.8, 0)
    output[:, 2] = (104, 100, 40, 40, 0, 0.7)
    output[:, 3] = (200, 100, 40, 40, 0.6, 0)
    found = nms(candidates(output, Layout("yolov8", 2), 0.25), 0.45)
    assert sorted(found.scores.tolist(), reverse=True) == pytest.approx([0.9, 0.7, 0.6])


def test_a_box_without_bounds_suppresses_none_of_another_class() -> None:
    output = np.zeros((6, 50), np.float32)
    output[:, 0] = (1e30, 1e30, 1e30, 1e30, 0.9, 0)
    output[:, 1] = (100, 100, 40, 40, 0, 0.8)
    output[:, 2] = (400, 400, 40, 40, 0, 0.7)
    found = nms(candidates(output, Layout("yolov8", 2), 0.25), 0.45)
    assert sorted(found.scores.tolist(), reverse=True) == pytest.approx([0.9, 0.8, 0.7])


def test_an_infinite_logit_is_a_certain_class() -> None:
    logits = np.array([[np.inf, 0, 0], [0, -np.inf, 0]], np.float32)
    assert softmax(logits).tolist() == [[1, 0, 0], [0.5, 0, 0.5]]


def test_nms_of_no_boxes_gives_no_boxes() -> None:
    found = nms(candidates(np.zeros((6, 50), np.float32), Layout("yolov8", 2), 0.25), 0.45)
    assert found.boxes.shape == (0, 4)

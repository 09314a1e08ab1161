"""The boxes in YOLO outputs, and non-maximum suppression."""

import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.onnx.yolo import Layout, candidates, nms


def test_columns_have_centre_size_and_class_scores() -> None:
    output = np.zeros((4 + 2 + 3, 50), np.float32)  # three columns of something else
    output[:, 7] = (100, 50, 20, 10, 0.2, 0.8, 9, 9, 9)
    output[:, 9] = (10, 10, 20, 20, 0.3, 0.1, 9, 9, 9)
    found = candidates(output, Layout("columns", 2), 0.25)
    assert found.boxes.tolist() == [[90, 45, 110, 55], [0, 0, 20, 20]]
    assert found.scores.tolist() == pytest.approx([0.8, 0.3])
    assert found.classes.tolist() == [1, 0]


def test_the_score_of_a_row_is_objectness_times_class() -> None:
    output = np.zeros((50, 7), np.float32)
    output[7] = (100, 50, 20, 10, 0.5, 0.2, 0.8)
    output[8] = (100, 50, 20, 10, 0.5, 0.2, 0.4)
    output[9] = (10, 10, 20, 20, 0.9, 0.9, 0.1)
    found = candidates(output, Layout("rows", 2), 0.25)
    assert found.boxes.tolist() == [[90, 45, 110, 55], [0, 0, 20, 20]]
    assert found.scores.tolist() == pytest.approx([0.4, 0.81])
    assert found.classes.tolist() == [1, 0]


def test_end_to_end_rows_are_used_as_they_are() -> None:
    output = np.zeros((300, 6), np.float32)
    output[0] = (90, 45, 110, 55, 0.7, 3)
    output[1] = (90, 45, 110, 55, 0.1, 3)
    found = candidates(output, Layout("end_to_end", 0), 0.25)
    assert found.boxes.tolist() == [[90, 45, 110, 55]]
    assert found.classes.tolist() == [3]


def test_fractions_and_logits_are_rejected_if_the_trial_did_not_show_them() -> None:
    output = np.zeros((300, 6), np.float32)
    output[0] = (0.2, 0.3, 0.5, 0.6, 0.9, 1)
    with pytest.raises(DetectorError, match="fractions"):
        candidates(output, Layout("end_to_end", 0), 0.25)
    output[0] = (20, 30, 50, 60, 4.0, 1)
    with pytest.raises(DetectorError, match="logits"):
        candidates(output, Layout("end_to_end", 0), 0.25)


@pytest.mark.parametrize("layout", [Layout("columns", 2), Layout("rows", 1), Layout("end_to_end", 2)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_give_no_box(layout: Layout, value: float) -> None:
    assert len(candidates(np.full((6, 6), value, np.float32), layout, 0.25).scores) == 0


def test_nms_removes_only_overlapping_boxes_of_the_same_class() -> None:
    output = np.zeros((6, 50), np.float32)
    output[:, 0] = (100, 100, 40, 40, 0.9, 0)
    output[:, 1] = (104, 100, 40, 40, 0.8, 0)
    output[:, 2] = (104, 100, 40, 40, 0, 0.7)
    output[:, 3] = (200, 100, 40, 40, 0.6, 0)
    found = nms(candidates(output, Layout("columns", 2), 0.25), 0.45)
    assert sorted(found.scores.tolist(), reverse=True) == pytest.approx([0.9, 0.7, 0.6])


def test_nms_of_no_boxes_gives_no_boxes() -> None:
    found = nms(candidates(np.zeros((6, 50), np.float32), Layout("columns", 2), 0.25), 0.45)
    assert found.boxes.shape == (0, 4)

"""What becomes of a detector's raw detections: clipped, rounded, sorted, and at most 300."""

from math import inf, nan

import numpy as np
import pytest

from app.detectors.base import MAX_DETECTIONS, MAX_LABEL, RawDetection, WarmUp, clean_label, normalize
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, plain

PICTURE = ArrayPicture(plain(640, 360))


def one(confidence: float, x1: float, y1: float, x2: float, y2: float, label: str = "a") -> Detection:
    (detection,) = normalize(PICTURE, [RawDetection(label, confidence, x1, y1, x2, y2)])
    return detection


def test_boxes_are_clipped_to_the_picture() -> None:
    assert one(0.5, -20, -1, 700, 400).box == (0, 0, 640, 360)


def test_boxes_outside_the_picture_and_values_that_are_not_finite_are_left_out() -> None:
    found = [
        RawDetection("right of it", 0.5, 650, 10, 700, 40),
        RawDetection("empty", 0.5, 10, 10, 10, 40),
        RawDetection("reversed", 0.5, 40, 10, 10, 40),
        RawDetection("infinite", 0.5, 0, 0, inf, 40),
        RawDetection("not a number", 0.5, nan, 0, 10, 40),
        RawDetection("confidence is not a number", nan, 0, 0, 10, 40),
    ]
    assert normalize(PICTURE, found) == ()


def test_single_precision_holds_the_rounded_values_exactly() -> None:
    random = np.random.default_rng(1).random
    for _ in range(1000):
        x1, y1, width, height, confidence = random(5) * (600, 300, 40, 60, 1) + (0, 0, 1, 1, 0)
        stored = one(confidence, x1, y1, x1 + width, y1 + height)
        for value in (stored.confidence, *stored.box):
            assert float(np.float32(value)) == value
        assert abs(stored.confidence - confidence) <= 1 / 2048
        assert stored.box == pytest.approx((x1, y1, x1 + width, y1 + height), abs=1 / 16)


def test_the_order_does_not_depend_on_the_order_in_which_they_were_found() -> None:
    found = [
        RawDetection("b", 0.5, 1, 1, 9, 9),
        RawDetection("a", 0.5, 1, 1, 9, 9),
        RawDetection("a", 0.9, 5, 5, 9, 9),
        RawDetection("a", 0.5, 0, 1, 9, 9),
    ]
    expected = normalize(PICTURE, found)
    assert [(each.confidence > 0.8, each.box[0], each.label) for each in expected] == [
        (True, 5, "a"),
        (False, 0, "a"),
        (False, 1, "a"),
        (False, 1, "b"),
    ]
    assert normalize(PICTURE, reversed(found)) == expected


def test_only_the_most_confident_detections_of_a_frame_are_kept() -> None:
    found = [RawDetection("a", n / 1000, 0, 0, 1 + n / 8, 5) for n in range(MAX_DETECTIONS + 50)]
    kept = normalize(PICTURE, found)
    assert len(kept) == MAX_DETECTIONS
    assert min(each.confidence for each in kept) >= 0.049


@pytest.mark.parametrize(
    ("class_id", "kept"), [(None, None), (0, 0), (65_534, 65_534), (65_535, None), (-1, None)]
)
def test_class_numbers_that_cannot_be_stored_are_left_out(class_id: int | None, kept: int | None) -> None:
    (found,) = normalize(PICTURE, [RawDetection("a", 0.5, 1, 1, 9, 9, class_id)])
    assert (found.label, found.class_id) == ("a", kept)


def test_labels_are_one_printable_line() -> None:
    assert clean_label("straße 12") == "straße 12"
    assert clean_label("a\x00b\nc") == "a�b�c"
    assert clean_label("x" * 500) == "x" * MAX_LABEL


@pytest.mark.parametrize(("rebuild_every", "frames"), [(0, 0), (10, 11), (10, -1)])
def test_a_warm_up_longer_than_the_time_between_rebuilds_is_rejected(rebuild_every: int, frames: int) -> None:
    with pytest.raises(ValueError, match="warm-up"):
        WarmUp(rebuild_every, frames)

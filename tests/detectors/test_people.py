"""People: drawn figures are found in pictures of any size."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import People
from app.domain.picture import Image
from app.domain.prediction import Detection
from tests.support.pictures import PERSON_BOX, ArrayPicture, overlap, paste, person, plain

Box = tuple[float, float, float, float]


def street(width: int, height: int, *people: tuple[int, int, int]) -> tuple[Image, list[Box]]:
    """A plain picture with figures at (x, y, height), and the box of each."""
    image = plain(width, height)
    boxes = []
    for x, y, tall in people:
        figure = person(tall)
        paste(image, figure, x, y)
        left, top, right, bottom = PERSON_BOX
        wide = figure.shape[1]
        boxes.append((x + left * wide, y + top * tall, x + right * wide, y + bottom * tall))
    return image, boxes


def found(image: Image, config: People | None = None) -> tuple[Detection, ...]:
    return make_detector(config or People(), ModelCache(Path())).detect(ArrayPicture(image), 0)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_standing_figures_are_found_at_any_resolution(scale: int) -> None:
    people = [(60 * scale, 60 * scale, 180 * scale), (260 * scale, 30 * scale, 260 * scale)]
    image, boxes = street(640 * scale, 360 * scale, *people)
    people_found = found(image)
    assert [each.label for each in people_found] == ["person", "person"]
    for box in boxes:
        assert max(overlap(each.box, box) for each in people_found) > 0.6


def test_detections_below_the_configured_confidence_are_left_out() -> None:
    image, _ = street(640, 360, (60, 60, 180), (260, 30, 260))
    strongest, other = found(image)
    between = (strongest.confidence + other.confidence) / 2
    assert found(image, People(confidence=between)) == (strongest,)


def test_a_picture_without_people_gives_no_detections() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (360, 640), np.uint8)
    for image in (plain(), noise):
        assert found(image) == ()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (40, 300), (300, 100), (4000, 40), (64, 128)])
def test_a_picture_too_small_for_a_person_gives_no_detections(width: int, height: int) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (height, width), np.uint8)
    assert found(noise) == ()


def test_several_threads_find_the_same_as_one() -> None:
    detector = make_detector(People(), ModelCache(Path()))
    pictures = [ArrayPicture(street(640, 360, (20 + 15 * n, 60, 180))[0]) for n in range(12)]
    alone = [detector.detect(picture, 0) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda picture: detector.detect(picture, 0), pictures))
    assert all(alone)
    assert together == alone

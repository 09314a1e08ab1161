"""Faces: drawn ones are found in pictures of any size."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Face
from app.domain.picture import Image
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, face, overlap, paste, person, plain


def crowd(width: int, height: int, *faces: tuple[int, int, int]) -> Image:
    """A plain picture with faces at (x, y, side)."""
    image = plain(width, height, 120)
    for x, y, side in faces:
        paste(image, face(side), x, y)
    return image


def found(image: Image, config: Face | None = None) -> tuple[Detection, ...]:
    return make_detector(config or Face(), ModelCache(Path())).detect(ArrayPicture(image), 0)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_frontal_faces_are_found_at_any_resolution(scale: int) -> None:
    faces = [(40 * scale, 40 * scale, 60 * scale), (160 * scale, 60 * scale, 160 * scale)]
    detections = found(crowd(640 * scale, 360 * scale, *faces))
    assert [each.label for each in detections] == ["face", "face"]
    for x, y, side in faces:
        assert max(overlap(each.box, (x, y, x + side, y + side)) for each in detections) > 0.6


def test_faces_below_the_configured_size_are_left_out() -> None:
    image = crowd(640, 360, (40, 40, 60), (160, 60, 160))
    (large,) = found(image, Face(min_size=0.3))
    assert overlap(large.box, (160, 60, 320, 220)) > 0.6


def test_a_small_face_is_found_if_configured() -> None:
    image = crowd(1280, 720, (600, 300, 45))
    (small,) = found(image, Face(min_size=0.04))
    assert overlap(small.box, (600, 300, 645, 345)) > 0.6


def test_detections_below_the_configured_confidence_are_left_out() -> None:
    image = crowd(640, 360, (40, 40, 60), (160, 60, 160))
    strongest, other = found(image)
    between = (strongest.confidence + other.confidence) / 2
    assert found(image, Face(confidence=between)) == (strongest,)


def test_a_picture_without_faces_gives_no_detections() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (360, 640), np.uint8)
    figure = plain()
    paste(figure, person(300), 100, 30)
    for image in (plain(), noise, figure):
        assert found(image) == ()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (4, 3000), (3000, 4), (24, 24)])
def test_pictures_of_any_shape_are_accepted(width: int, height: int) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (height, width), np.uint8)
    for min_size in (0.02, 1):
        assert found(noise, Face(min_size=min_size)) == ()


def test_several_threads_find_the_same_as_one() -> None:
    detector = make_detector(Face(), ModelCache(Path()))
    pictures = [ArrayPicture(crowd(640, 360, (20 + 15 * n, 60, 100))) for n in range(12)]
    alone = [detector.detect(picture, 0) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda picture: detector.detect(picture, 0), pictures))
    assert all(alone)
    assert together == alone

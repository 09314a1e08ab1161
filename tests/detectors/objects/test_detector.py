"""Objects: a drawn stop sign is found, in whole pictures and in parts of them."""

import ast
import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest

from app.detectors.factory import make_detector
from app.detectors.objects.detector import WEIGHTS, class_numbers_of
from app.detectors.onnx.cache import ModelCache
from app.domain.coco import COCO_GROUPS, COCO_LABELS
from app.domain.detector_config import Objects
from app.domain.picture import Image
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, overlap, road
from tools.coco_ssd import package

MODELS = ModelCache(Path())


def found(image: Image, **options: Any) -> tuple[Detection, ...]:
    detector = make_detector(msgspec.convert({"type": "objects", **options}, Objects), MODELS)
    return detector.detect(ArrayPicture(image), 0)


def test_an_object_is_found_with_the_number_of_its_class() -> None:
    (sign,) = found(road(640, 360, (200, 60, 150)))
    assert (sign.label, sign.class_id) == ("stop sign", 11)
    assert sign.confidence > 0.6
    assert overlap(sign.box, (203, 63, 347, 207)) > 0.8


def test_a_picture_without_objects_gives_none() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (360, 640, 3), np.uint8)
    for image in (road(640, 360), noise):
        assert found(image, tiles=2) == ()


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (301, 299)])
@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_pictures_of_any_shape_are_looked_at(size: tuple[int, int], tiles: int) -> None:
    width, height = size
    image = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    for each in found(image, tiles=tiles, confidence=0):
        x1, y1, x2, y2 = each.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height


@pytest.mark.parametrize(
    ("labels", "is_found"),
    [(["stop sign"], True), (["person", "stop sign"], True), (["people", "vehicles", "animals"], False)],
)
def test_only_the_labels_and_groups_that_are_asked_for_are_kept(labels: list[str], is_found: bool) -> None:
    assert bool(found(road(640, 360, (200, 60, 150)), labels=labels)) == is_found


def test_detections_below_the_configured_confidence_are_left_out() -> None:
    image = road(640, 360, (200, 60, 150))
    (sign,) = found(image)
    assert found(image, confidence=sign.confidence + 0.01) == ()


def test_a_small_object_is_found_in_a_part_of_the_picture() -> None:
    image = road(640, 360, (200, 60, 80))
    assert found(image) == ()
    (sign,) = found(image, tiles=2)
    assert sign.label == "stop sign"
    assert overlap(sign.box, (202, 62, 278, 138)) > 0.8


@pytest.mark.parametrize("x", [0, 60, 150, 250, 340, 490])
@pytest.mark.parametrize("tiles", [2, 3])
def test_an_object_in_several_parts_is_found_once(x: int, tiles: int) -> None:
    signs = found(road(640, 360, (x, 60, 150)), tiles=tiles)
    assert [sign.label for sign in signs] == ["stop sign"]
    assert overlap(signs[0].box, (x + 3, 63, x + 147, 207)) > 0.7


def test_groups_are_of_coco_s_classes() -> None:
    assert class_numbers_of(["animals"]) == list(range(14, 24))
    assert class_numbers_of(["vehicles"]) == list(range(1, 9))
    assert class_numbers_of(["dog", "people"]) == [0, 16]
    assert not COCO_GROUPS.keys() & set(COCO_LABELS)
    assert len(set(COCO_LABELS)) == 80


@pytest.mark.parametrize(
    "options", [{"labels": []}, {"labels": ["Person"]}, {"tiles": 0}, {"tiles": 5}, {"confidence": 2}]
)
def test_options_without_a_meaning_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        found(road(640, 360), **options)


def test_the_file_is_the_one_that_its_notice_describes() -> None:
    digest = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    notice = WEIGHTS.with_name("NOTICE").read_text()
    assert f"SHA-256     {digest}\n" in notice
    assert f"{package.NAME} {package.VERSION}" in notice
    assert package.INTEGRITY in notice
    assert make_detector(Objects(), MODELS).pins.model == digest


def test_the_labels_are_those_of_the_model() -> None:
    session = onnxruntime.InferenceSession(WEIGHTS, providers=["CPUExecutionProvider"])
    names = ast.literal_eval(session.get_modelmeta().custom_metadata_map["names"])
    assert names == dict(enumerate(COCO_LABELS))

"""Codes: drawn markers and QR codes are read at their place."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Marker
from app.domain.picture import Image
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, plain


def put_aruco(image: Image, number: int, x: int, y: int, dictionary: str = "5X5_1000") -> None:
    kind = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{dictionary}"))
    image[y : y + 64, x : x + 64] = cv2.aruco.generateImageMarker(kind, number, 64)


def put_qr(image: Image, text: str, x: int, y: int, module: int = 5) -> int:
    """Draw with the quiet zone's corner at (x, y); returns the side of the code without its quiet zone."""
    code = cv2.QRCodeEncoder.create().encode(text)
    side: int = code.shape[0] * module
    image[y : y + side, x : x + side] = cv2.resize(code, (side, side), interpolation=cv2.INTER_NEAREST)
    return side - 4 * module


def read(image: Image, config: Marker) -> tuple[Detection, ...]:
    return make_detector(config, ModelCache(Path())).detect(ArrayPicture(image), 0)


def test_an_aruco_marker_is_found_at_its_place() -> None:
    image = plain(1280, 720)
    put_aruco(image, 12, 100, 80)
    put_aruco(image, 999, 700, 500)
    assert read(image, Marker()) == (
        Detection("aruco:12", 1.0, (100, 80, 164, 144)),
        Detection("aruco:999", 1.0, (700, 500, 764, 564)),
    )


@pytest.mark.parametrize("angle", [15, 90, 200])
def test_the_box_of_a_rotated_marker_contains_its_corners(angle: float) -> None:
    image = plain(640, 360)
    put_aruco(image, 7, 288, 148)
    turn = cv2.getRotationMatrix2D((319.5, 179.5), angle, 1)
    turned = np.asarray(cv2.warpAffine(image, turn, (640, 360), borderValue=(200,)), np.uint8)
    corners = np.array([[288, 148], [351, 148], [351, 211], [288, 211]]) @ turn[:, :2].T + turn[:, 2]
    (found,) = read(turned, Marker())
    assert found.label == "aruco:7"
    assert found.box == pytest.approx((*corners.min(axis=0), *(corners.max(axis=0) + 1)), abs=2)


@pytest.mark.parametrize("dictionary", ["4x4_50", "6x6_250", "7x7_1000", "original", "apriltag_36h11"])
def test_each_dictionary_reads_its_own_markers(dictionary: str) -> None:
    image = plain()
    put_aruco(image, 3, 200, 100, "ARUCO_ORIGINAL" if dictionary == "original" else dictionary.upper())
    config = Marker(dictionary=dictionary)  # type: ignore[arg-type]
    assert [found.label for found in read(image, config)] == ["aruco:3"]


def test_qr_codes_are_read_at_their_place() -> None:
    image = plain(value=255)
    side = put_qr(image, "gate 4", 100, 60)
    put_qr(image, "grüße", 400, 100)
    left, right = sorted(read(image, Marker(codes=("qr",))), key=lambda found: found.box)
    assert (left.label, right.label) == ("qr:gate 4", "qr:grüße")
    assert left.box == pytest.approx((110, 70, 110 + side, 70 + side), abs=2)


def test_only_the_configured_codes_are_read() -> None:
    image = plain(value=255)
    put_aruco(image, 5, 60, 60)
    put_qr(image, "gate", 400, 100)
    assert [found.label for found in read(image, Marker())] == ["aruco:5"]
    assert [found.label for found in read(image, Marker(codes=("qr",)))] == ["qr:gate"]
    assert {found.label for found in read(image, Marker(codes=("aruco", "qr")))} == {"aruco:5", "qr:gate"}


def test_a_long_text_is_cut_and_a_text_with_control_characters_is_cleaned() -> None:
    image = plain(1280, 720, value=255)
    put_qr(image, "x" * 400, 40, 40)
    put_qr(image, "a\nb", 800, 100)
    labels = {found.label for found in read(image, Marker(codes=("qr",)))}
    assert labels == {"qr:" + "x" * 197, "qr:a�b"}


def test_a_picture_without_codes_gives_no_detections() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (360, 640), np.uint8)
    for image in (plain(), noise):
        assert read(image, Marker(codes=("aruco", "qr"))) == ()


def test_several_threads_may_share_a_detector() -> None:
    detector = make_detector(Marker(codes=("aruco", "qr")), ModelCache(Path()))
    pictures = []
    for number in range(60):
        image = plain(value=255)
        put_aruco(image, number, 60 + number, 60)
        put_qr(image, str(number), 400, 100)
        pictures.append(ArrayPicture(image))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: detector.detect(pictures[n], n), range(60)))
    for number, detections in enumerate(found):
        assert {each.label for each in detections} == {f"aruco:{number}", f"qr:{number}"}


def warnings_after(images: list[Image], config: Marker) -> list[str]:
    detector = make_detector(config, ModelCache(Path()))
    for number, image in enumerate(images):
        detector.detect(ArrayPicture(image), number)
    return [warning.text for warning in detector.warnings]


@pytest.mark.parametrize(
    ("drawn", "seen"), [("4X4_50", "4x4_100"), ("6X6_250", "6x6_1000"), ("APRILTAG_36h11", "apriltag_36h11")]
)
def test_markers_of_another_dictionary_give_a_warning(drawn: str, seen: str) -> None:
    image = plain()
    put_aruco(image, 3, 200, 100, drawn)
    assert warnings_after([image] * 2, Marker()) == []
    (text,) = warnings_after([image] * 3, Marker())
    assert text == (
        "No marker of the dictionary 5x5_1000 was found, but the frames seem to show markers of"
        f" {seen}: create a scenario with that `dictionary`."
    )


def test_markers_that_appear_late_or_rarely_give_a_warning_too() -> None:
    shown, empty = plain(), plain()
    put_aruco(shown, 3, 200, 100, "4X4_50")
    assert warnings_after([empty] * 40 + [shown] * 30, Marker())


def test_there_is_no_warning_if_a_marker_of_the_configured_dictionary_was_found() -> None:
    both, other = plain(), plain()
    for image in (both, other):
        put_aruco(image, 3, 200, 100, "4X4_50")
    put_aruco(both, 3, 20, 100)
    assert warnings_after([other, both, other, other, other], Marker()) == []


def test_pictures_without_markers_give_no_warning() -> None:
    noise = np.random.default_rng(0)
    images = [
        cv2.GaussianBlur(noise.integers(0, 256, (720, 1280), np.uint8), (0, 0), 1 + number % 6)
        for number in range(40)
    ]
    assert warnings_after([np.asarray(image, np.uint8) for image in images], Marker()) == []
    assert warnings_after([plain()] * 10, Marker(codes=("qr",))) == []

"""Motion: a square that moves is found, what stands still is not."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.detectors.base import WarmUp
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.detectors.warm_up import RebuiltDetector, replay_from
from app.domain.detector_config import Motion
from app.domain.picture import Image
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, overlap, paste, plain

Box = tuple[float, ...]

SIDE = 40


def yard(brightness: int = 0) -> Image:
    """A still, textured scene."""
    random = np.random.default_rng(1)
    coarse = random.integers(60, 180, (9, 16), np.uint8)
    smooth = np.asarray(cv2.resize(coarse, (640, 360), interpolation=cv2.INTER_CUBIC), np.int64)
    scene = smooth + random.integers(-10, 10, (360, 640)) + brightness
    return np.asarray(np.clip(scene, 0, 255), np.uint8)


def film(frames: int, *, brightness: int = 0) -> list[tuple[Image, Box]]:
    """A square that crosses a noisy scene at 12 pixels a frame, and its box on each frame."""
    random = np.random.default_rng(2)
    scene = yard(brightness)
    shots: list[tuple[Image, Box]] = []
    for n in range(frames):
        image = scene.copy()
        x, y = 30 + 12 * n % 540, 160
        paste(image, plain(SIDE, SIDE, 250), x, y)
        noisy = np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        shots.append((noisy, (x, y, x + SIDE, y + SIDE)))
    return shots


def watch(images: list[Image], config: Motion | None = None) -> list[tuple[Detection, ...]]:
    detector = make_detector(config or Motion(), ModelCache(Path()))
    return [detector.detect(ArrayPicture(image), n) for n, image in enumerate(images)]


def test_a_moving_square_is_found_at_its_place() -> None:
    shots = film(44)
    stored = watch([image for image, _ in shots])
    for found, (_, box) in list(zip(stored, shots, strict=True))[20:]:
        (moving,) = found
        assert moving.label == "motion"
        assert overlap(moving.box, box) > 0.8
        assert moving.confidence > 0.9


def test_boxes_are_in_pixels_of_the_source() -> None:
    large = [(cv2.resize(image, (1920, 1080)), box) for image, box in film(30)]
    stored = watch([np.asarray(image, np.uint8) for image, _ in large])
    (moving,) = stored[-1]
    assert overlap(moving.box, tuple(3 * side for side in large[-1][1])) > 0.8


def test_a_still_scene_gives_no_detections_from_its_first_frame_on() -> None:
    random = np.random.default_rng(4)
    scene = yard()
    images = [np.clip(scene + random.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for _ in range(40)]
    assert set(watch(images)) == {()}


def test_a_change_of_light_is_no_motion_and_motion_after_it_is_found() -> None:
    shots = film(30) + film(60, brightness=50)[30:]
    stored = watch([image for image, _ in shots])
    assert len(stored[29]) == 1
    assert stored[30] == ()
    (moving,) = stored[-1]
    assert overlap(moving.box, shots[-1][1]) > 0.8


def test_an_object_that_stops_becomes_background() -> None:
    shots = film(40)
    stored = watch([image for image, _ in shots] + [shots[-1][0]] * 60)
    assert stored[41]
    assert stored[-1] == ()


def test_regions_below_the_configured_size_are_left_out() -> None:
    images = [image for image, _ in film(40)]
    share = SIDE * SIDE / (640 * 360)
    assert watch(images, Motion(min_area=share * 0.8))[-1]
    assert not watch(images, Motion(min_area=share * 1.3))[-1]


def test_more_sensitivity_finds_fainter_motion() -> None:
    scene = plain(value=120)
    images = []
    for n in range(40):
        images.append(scene.copy())
        paste(images[-1], plain(SIDE, SIDE, 127), 30 + 6 * n, 160)
    assert not watch(images, Motion(sensitivity=1))[-1]
    assert watch(images, Motion(sensitivity=5))[-1]


def test_parts_of_one_object_give_one_box() -> None:
    scene = plain(value=120)
    images = []
    for n in range(30):
        x = 30 + 10 * n
        images.append(scene.copy())
        for part in range(5):
            paste(images[-1], plain(40, 10, 250), x, 100 + 16 * part)
    (moving,) = watch(images)[-1]
    assert overlap(moving.box, (x, 100, x + 40, 174)) > 0.8


@pytest.mark.parametrize("start", [0, 19, 20, 47, 60, 79])
def test_a_resumed_run_finds_exactly_what_an_uninterrupted_one_finds(start: int) -> None:
    warm_up = WarmUp(rebuild_every=20, frames=8)
    pictures = [ArrayPicture(image) for image, _ in film(80)]

    def run(start: int) -> list[tuple[Detection, ...]]:
        rebuilt = RebuiltDetector(partial(make_detector, Motion(), ModelCache(Path())), warm_up, start)
        first = replay_from(start, warm_up)
        fed = [rebuilt.detect(n, picture, n) for n, picture in enumerate(pictures) if n >= first]
        return fed[start - first :]

    uninterrupted = run(0)
    assert sum(map(len, uninterrupted)) > 60
    assert run(start) == uninterrupted[start:]


def test_opencv_threads_do_not_change_the_detections() -> None:
    images = [image for image, _ in film(40)]
    single = watch(images)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        assert watch(images) == single
    finally:
        cv2.setNumThreads(threads)

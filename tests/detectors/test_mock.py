"""Made-up detections depend on the seed and the frame alone."""

from pathlib import Path

from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Mock
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, plain


def drawn(config: Mock, frame: int) -> tuple[Detection, ...]:
    return make_detector(config, ModelCache(Path())).detect(ArrayPicture(plain()), frame)


def test_a_frame_always_gives_the_same_detections() -> None:
    frames = [drawn(Mock(seed=7), frame) for frame in range(50)]
    assert frames == [drawn(Mock(seed=7), frame) for frame in range(50)]
    assert len(set(frames)) > 25


def test_another_seed_gives_other_detections() -> None:
    assert [drawn(Mock(seed=1), n) for n in range(10)] != [drawn(Mock(seed=2), n) for n in range(10)]


def test_detections_are_labelled_inside_the_picture_and_within_the_configured_number() -> None:
    frames = [drawn(Mock(max_detections=4), frame) for frame in range(200)]
    assert {len(found) for found in frames} == {0, 1, 2, 3, 4}
    for detection in (detection for found in frames for detection in found):
        x1, y1, x2, y2 = detection.box
        assert detection.label == "mock"
        assert 0 <= detection.confidence <= 1
        assert 0 <= x1 < x2 <= 640
        assert 0 <= y1 < y2 <= 360


def test_detections_are_the_same_on_every_machine_and_release() -> None:
    first, second = drawn(Mock(seed=3), 12)
    assert first == Detection("mock", 0.349609375, (286.25, 187.25, 372.75, 271.75))
    assert second.confidence < first.confidence

"""YOLO networks in ONNX files: what they find, how they are loaded, and which are rejected."""

import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.detectors.backends.session import Array
from app.detectors.base import Detector, DetectorError
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.detectors.onnx.model import Model
from app.domain.detector_config import Onnx
from app.domain.model_input import StatedModel
from app.domain.picture import Image
from app.domain.prediction import Detection
from tests.support import models
from tests.support.pictures import ArrayPicture

WHITE, RED, BLUE = (255, 255, 255), (0, 0, 255), (255, 0, 0)  # blue first
NAMED = {"names": models.NAMES}

Box = tuple[float, float, float, float]
BOX: Box = (256, 168, 320, 232)


def picture(*squares: tuple[int, int, tuple[int, int, int]], width: int = 1280, height: int = 720) -> Image:
    """A black picture with squares of 64 pixels at (x, y); the network of 640 pixels finds these."""
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, colour in squares:
        image[y : y + 64, x : x + 64] = colour
    return image


def make(root: Path, config: Onnx) -> Detector:
    return make_detector(config, ModelCache(root))


def found(root: Path, image: Image, config: Onnx | None = None) -> tuple[Detection, ...]:
    config = config or Onnx("model.onnx", confidence=0.45, iou=0.3)
    return make(root, config).detect(ArrayPicture(image), 0)


@pytest.mark.parametrize("size", [(640, 640), (384, 640), None])
@pytest.mark.parametrize(
    ("write", "confidence"), [(models.yolov8, 1.0), (models.yolov5, 0.5), (models.end_to_end, 1.0)]
)
def test_a_square_is_found_at_its_place_in_every_layout(
    tmp_path: Path, write: Callable[..., Path], confidence: float, size: models.Size | None
) -> None:
    write(tmp_path / "model.onnx", size, NAMED)
    config = Onnx("model.onnx", confidence=0.9 * confidence)
    image = picture((256, 168, WHITE))
    assert found(tmp_path, image, config) == (Detection("bright", confidence, BOX, class_id=0),)


def test_a_model_of_8_bit_integers_finds_the_same(tmp_path: Path) -> None:
    models.quantized(tmp_path / "model.onnx", NAMED)
    (square,) = found(tmp_path, picture((256, 168, WHITE)), Onnx("model.onnx", confidence=0.9))
    assert (square.label, square.box) == ("bright", BOX)


@pytest.mark.parametrize("size", [(640, 640), None])
def test_a_picture_taller_than_wide_keeps_its_proportions(tmp_path: Path, size: models.Size | None) -> None:
    models.yolov8(tmp_path / "model.onnx", size, NAMED)
    image = picture((168, 256, WHITE), width=720, height=1280)
    assert found(tmp_path, image) == (Detection("bright", 1.0, (168, 256, 232, 320), class_id=0),)


def test_a_picture_of_another_shape_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", (640, 640), NAMED)
    detector = make(tmp_path, Onnx("model.onnx", confidence=0.9))
    wide, tall = picture((256, 8, WHITE)), picture(width=720, height=1280)
    assert detector.detect(ArrayPicture(wide), 0)
    assert detector.detect(ArrayPicture(tall), 1) == ()
    assert detector.detect(ArrayPicture(picture()), 2) == ()


def test_colours_reach_the_network_red_first(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", metadata=NAMED)
    image = picture((256, 168, RED), (640, 168, BLUE))
    assert found(tmp_path, image) == (Detection("red", 1.0, BOX, class_id=1),)


def test_the_iou_setting_decides_how_much_boxes_may_overlap(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", metadata=NAMED)
    image = picture((256, 168, WHITE))
    assert len(found(tmp_path, image, Onnx("model.onnx", confidence=0.45, iou=0.3))) == 1
    assert len(found(tmp_path, image, Onnx("model.onnx", confidence=0.45, iou=1))) == 13


@pytest.mark.parametrize(
    ("names", "label"),
    [
        ("{0: 'lamp', 1: 'rose'}", "lamp"),
        ('{"0": "lamp", "1": "rose"}', "lamp"),
        ('["lamp", "rose"]', "lamp"),
        ("{0: 'a\\x00b', 1: 'rose'}", "a�b"),
        ('["\\ud83d\\ude00", "rose"]', "\N{GRINNING FACE}"),
        ('["a\\/b", "rose"]', "a/b"),
        ('\ufeff{"0": "lamp", "1": null}', "lamp"),
        ('{"0": null, "1": "rose"}', "class:0"),
        ("{0: ' ', 1: 'rose'}", "class:0"),
        ("", "class:0"),
        ("__import__('os').getcwd()", "class:0"),
        ("{" * 100_000, "class:0"),
        ("-" * 100_000 + "1", "class:0"),
        ("1" * 1_000_001, "class:0"),
    ],
)
def test_labels_come_from_the_model_s_metadata(tmp_path: Path, names: str, label: str) -> None:
    models.yolov8(tmp_path / "model.onnx", metadata={"names": names})
    assert [each.label for each in found(tmp_path, picture((256, 168, WHITE)))] == [label]


def test_only_the_configured_labels_are_kept(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", metadata=NAMED)
    image = picture((256, 168, WHITE), (640, 168, RED))
    for labels in (("red",), ("class:1",)):
        config = Onnx("model.onnx", confidence=0.9, labels=labels)
        assert [each.label for each in found(tmp_path, image, config)] == ["red"]


def test_a_label_that_the_model_lacks_is_rejected_with_the_labels_it_has(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", metadata=NAMED)
    with pytest.raises(DetectorError, match=r"no label 'cat'. It has bright, red."):
        make(tmp_path, Onnx("model.onnx", labels=("cat",)))


def test_the_metadata_gives_the_input_size_of_a_dynamic_network(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "a.onnx", None, {"imgsz": "[320, 512]"})
    models.yolov8(tmp_path / "b.onnx", None, {"imgsz": "300", "stride": "64"})
    models.yolov8(tmp_path / "c.onnx", None)
    cache = ModelCache(tmp_path)
    sizes = [cache.load(f"{name}.onnx").understood(StatedModel()).form.size for name in "abc"]
    assert sizes == [(320, 512), (320, 320), (640, 640)]


def test_a_dynamic_network_gets_no_larger_input_than_the_picture_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.yolov8(tmp_path / "model.onnx", None, NAMED)
    cache = ModelCache(tmp_path)
    shared = cache.load("model.onnx")
    detector = make_detector(Onnx("model.onnx"), cache)
    shapes = []

    def infer(feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Any]:
        shapes.append(feeds["images"].shape)
        return Model.infer(shared, feeds, outputs)

    monkeypatch.setattr(shared, "infer", infer)
    for width, height in ((1280, 720), (720, 1280), (64, 64)):
        assert detector.detect(ArrayPicture(picture(width=width, height=height)), 0) == ()
    assert shapes == [(1, 3, 384, 640), (1, 3, 640, 384), (1, 3, 640, 640)]


def test_a_network_that_wrongly_declares_dynamic_axes_gets_the_size_that_it_takes(tmp_path: Path) -> None:
    models.rigid(tmp_path / "model.onnx", NAMED)
    assert found(tmp_path, picture((256, 168, WHITE))) == (Detection("bright", 1.0, BOX, class_id=0),)


def test_runs_share_a_model_while_one_of_them_uses_it_or_if_it_was_used_last(tmp_path: Path) -> None:
    path = models.yolov8(tmp_path / "model.onnx", (64, 64))
    cache = ModelCache(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(lambda _: cache.load("model.onnx"), range(4))
    assert all(each is first for each in others)
    stamp = path.stat().st_mtime_ns
    os.utime(path, ns=(stamp, stamp + 1_000_000_000))
    assert cache.load("model.onnx") is not first
    os.utime(path, ns=(stamp, stamp))
    assert cache.load("model.onnx") is first
    kept = id(first)
    del first, others
    gc.collect()
    assert id(cache.load("model.onnx")) == kept
    for other in ("other.onnx", "another.onnx"):
        models.yolov8(tmp_path / other, (64, 64))
        cache.load(other)
    gc.collect()
    assert kept not in {id(model) for model in cache._models.values()}


def test_several_threads_find_the_same_as_one(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", (384, 640), NAMED)
    detector = make(tmp_path, Onnx("model.onnx", confidence=0.45, iou=0.3))
    pictures = [ArrayPicture(picture((16 * n, 168, WHITE), (1000, 40 + 5 * n, RED))) for n in range(40)]
    alone = [detector.detect(each, 0) for each in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda each: detector.detect(each, 0), pictures))
    assert all(alone)
    assert together == alone


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (models.not_a_model, "cannot be loaded as an ONNX model"),
        (models.classifier, r"shape \[1, 2\]"),
        (models.two_inputs, r"takes a float32 \[1, 3, 8, 8\] and b float32"),
        (lambda path: path.write_bytes(b""), "cannot be loaded as an ONNX model"),
        (lambda path: path.mkdir(), "There is no model"),
        (lambda path: models.outside_weights(path, "../../secret.bin"), "External data path"),
        (lambda path: models.yolov8(path, metadata={"task": "classify"}), "detection model"),
        (lambda path: models.yolov8(path, (64, 8000)), "8000×64"),
        (
            lambda path: models.yolov8(path, metadata={"names": str(["x"] * 3)}),
            "no YOLO layout of 3 classes",
        ),
    ],
)
def test_a_file_that_is_not_a_usable_model_is_rejected_in_one_line(
    tmp_path: Path, write: Callable[[Path], object], reason: str
) -> None:
    root = tmp_path / "models" / "here"
    root.mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(np.ones(6, np.float32).tobytes())
    write(root / "bad.onnx")
    with pytest.raises(DetectorError, match=reason) as rejected:
        make(root, Onnx("bad.onnx"))
    assert "'bad.onnx'" in str(rejected.value)
    assert "\n" not in str(rejected.value)
    assert str(tmp_path) not in str(rejected.value)


@pytest.mark.parametrize(
    "name", ["../outside.onnx", "a/../../outside.onnx", "link.onnx", "folder/outside.onnx"]
)
def test_a_model_outside_the_model_folder_is_rejected(tmp_path: Path, name: str) -> None:
    root = tmp_path / "models"
    root.mkdir()
    models.yolov8(tmp_path / "outside.onnx", (64, 64))
    (root / "link.onnx").symlink_to(tmp_path / "outside.onnx")
    (root / "folder").symlink_to(tmp_path)
    for each in (name, str(tmp_path / "outside.onnx")):
        with pytest.raises(DetectorError, match="outside the model folder"):
            make(root, Onnx(each))


@pytest.mark.parametrize("name", ["absent.onnx", "absent/model.onnx", "a\x00b.onnx", "loop.onnx", "."])
def test_a_missing_model_is_rejected(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    with pytest.raises(DetectorError, match=r"There is no model .*VA_MODEL_ROOT"):
        make(tmp_path, Onnx(name))


def test_a_link_within_the_model_folder_is_followed(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "v2.onnx", (64, 64))
    (tmp_path / "current.onnx").symlink_to("v2.onnx")
    cache = ModelCache(tmp_path)
    assert cache.load("current.onnx") is cache.load("v2.onnx")


def test_without_onnx_runtime_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DetectorError, match="pip install onnxruntime"):
        make(tmp_path, Onnx("model.onnx"))

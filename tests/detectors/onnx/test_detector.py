import gc
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.detectors.make import DetectorError, make_detector
from app.detectors.onnx import model
from app.detectors.onnx.model import Floats, Model, load_model
from app.domain.detector_config import Onnx
from app.domain.picture import Image
from app.domain.prediction import Detection
from tests.support import models
from tests.support.pictures import ArrayPicture

WHITE, RED, BLUE = (255, 255, 255), (0, 0, 255), (255, 0, 0)  # blue first
NAMED = {"names": models.NAMES}

Box = tuple[float, float, float, float]
BOX: Box = (256, 168, 320, 232)


def picture(*squares: tuple[int, int, tuple[int, int, int]], width: int = 1280, height: int = 720) -> Image:
    """A black picture with squares of 64 pixels at (x, y): in a network of 640, as large as a window."""
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, colour in squares:
        image[y : y + 64, x : x + 64] = colour
    return image


def found(root: Path, image: Image, config: Onnx | None = None) -> tuple[Detection, ...]:
    config = config or Onnx("model.onnx", confidence=0.45, iou=0.3)
    return make_detector(config, root).detect(ArrayPicture(image), 0)


@pytest.mark.parametrize("size", [(640, 640), (384, 640), None])
@pytest.mark.parametrize(
    ("make", "confidence"), [(models.yolov8, 1.0), (models.yolov5, 0.5), (models.end_to_end, 1.0)]
)
def test_a_square_is_found_where_it_is_drawn_in_every_layout(
    tmp_path: Path, make: Callable[..., Path], confidence: float, size: models.Size | None
) -> None:
    make(tmp_path / "model.onnx", size, NAMED)
    config = Onnx("model.onnx", confidence=0.9 * confidence)
    image = picture((256, 168, WHITE))
    assert found(tmp_path, image, config) == (Detection("bright", confidence, BOX),)


def test_a_model_of_8_bit_integers_finds_the_same(tmp_path: Path) -> None:
    models.quantized(tmp_path / "model.onnx", NAMED)
    (square,) = found(tmp_path, picture((256, 168, WHITE)), Onnx("model.onnx", confidence=0.9))
    assert (square.label, square.box) == ("bright", BOX)


@pytest.mark.parametrize("size", [(640, 640), None])
def test_a_picture_taller_than_wide_keeps_its_proportions(tmp_path: Path, size: models.Size | None) -> None:
    models.yolov8(tmp_path / "model.onnx", size, NAMED)
    image = picture((168, 256, WHITE), width=720, height=1280)
    assert found(tmp_path, image) == (Detection("bright", 1.0, (168, 256, 232, 320)),)


def test_pictures_of_changing_shape_leave_nothing_behind(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", (640, 640), NAMED)
    detector = make_detector(Onnx("model.onnx", confidence=0.9), tmp_path)
    wide, tall = picture((256, 8, WHITE)), picture(width=720, height=1280)
    assert detector.detect(ArrayPicture(wide), 0)
    assert detector.detect(ArrayPicture(tall), 1) == ()
    assert detector.detect(ArrayPicture(picture()), 2) == ()


def test_colours_reach_the_network_red_first(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", metadata=NAMED)
    image = picture((256, 168, RED), (640, 168, BLUE))
    assert found(tmp_path, image) == (Detection("red", 1.0, BOX),)


def test_overlapping_boxes_are_merged_as_far_as_asked_for(tmp_path: Path) -> None:
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


def test_only_the_labels_asked_for_are_kept(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", metadata=NAMED)
    image = picture((256, 168, WHITE), (640, 168, RED))
    for labels in (("red",), ("class:1",)):
        config = Onnx("model.onnx", confidence=0.9, labels=labels)
        assert [each.label for each in found(tmp_path, image, config)] == ["red"]


def test_a_label_that_the_model_does_not_know_is_refused_with_those_it_knows(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", metadata=NAMED)
    with pytest.raises(DetectorError, match=r"no label 'cat'. It has bright, red."):
        make_detector(Onnx("model.onnx", labels=("cat",)), tmp_path)


def test_metadata_says_how_large_a_picture_a_network_of_any_size_gets(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "a.onnx", None, {"imgsz": "[320, 512]"})
    models.yolov8(tmp_path / "b.onnx", None, {"imgsz": "300", "stride": "64"})
    models.yolov8(tmp_path / "c.onnx", None)
    sizes = [(each.height, each.width) for each in (load_model(tmp_path, f"{name}.onnx") for name in "abc")]
    assert sizes == [(320, 512), (320, 320), (640, 640)]


def test_a_network_of_any_size_computes_no_more_than_the_picture_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.yolov8(tmp_path / "model.onnx", None, NAMED)
    shared = load_model(tmp_path, "model.onnx")
    shapes = []

    def infer(pixels: Floats) -> Floats:
        shapes.append(pixels.shape)
        return Model.infer(shared, pixels)

    monkeypatch.setattr(shared, "infer", infer)
    for width, height in ((1280, 720), (720, 1280), (64, 64)):
        assert found(tmp_path, picture(width=width, height=height)) == ()
    assert shapes == [(1, 3, 384, 640), (1, 3, 640, 384), (1, 3, 640, 640)]


def test_a_network_that_wrongly_declares_to_take_any_size_gets_the_one_it_takes(tmp_path: Path) -> None:
    models.rigid(tmp_path / "model.onnx", NAMED)
    assert found(tmp_path, picture((256, 168, WHITE))) == (Detection("bright", 1.0, BOX),)


def test_runs_share_a_model_while_any_of_them_holds_it_or_it_was_used_last(tmp_path: Path) -> None:
    path = models.yolov8(tmp_path / "model.onnx", (64, 64))
    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(lambda _: load_model(tmp_path, "model.onnx"), range(4))
    assert all(each is first for each in others)
    stamp = path.stat().st_mtime_ns
    os.utime(path, ns=(stamp, stamp + 1_000_000_000))
    assert load_model(tmp_path, "model.onnx") is not first
    os.utime(path, ns=(stamp, stamp))
    assert load_model(tmp_path, "model.onnx") is first
    held = id(first)
    del first, others
    gc.collect()
    assert id(load_model(tmp_path, "model.onnx")) == held
    for other in ("other.onnx", "another.onnx"):
        models.yolov8(tmp_path / other, (64, 64))
        load_model(tmp_path, other)
    gc.collect()
    assert held not in {id(kept) for kept in model._models.values()}


def test_several_threads_find_what_one_finds(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "model.onnx", (384, 640), NAMED)
    detector = make_detector(Onnx("model.onnx", confidence=0.45, iou=0.3), tmp_path)
    pictures = [ArrayPicture(picture((16 * n, 168, WHITE), (1000, 40 + 5 * n, RED))) for n in range(40)]
    alone = [detector.detect(each, 0) for each in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda each: detector.detect(each, 0), pictures))
    assert all(alone)
    assert together == alone


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (models.not_a_model, "no ONNX model"),
        (models.classifier, r"shape \[1, 2\]"),
        (models.two_inputs, r"takes tensor\(float\) \[1, 3, 8, 8\] and tensor"),
        (models.half_precision, r"takes tensor\(float16\)"),
        (lambda path: path.write_bytes(b""), "no ONNX model"),
        (lambda path: path.mkdir(), "There is no model"),
        (lambda path: models.outside_weights(path, "../../secret.bin"), "External data path"),
        (lambda path: models.yolov8(path, metadata={"task": "classify"}), "detection model"),
        (lambda path: models.yolov8(path, (64, 8000)), "8000×64"),
        (lambda path: models.yolov8(path, metadata={"names": str(["x"] * 3)}), "no YOLO layout of 3 classes"),
    ],
)
def test_a_file_that_is_no_usable_model_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    root = tmp_path / "models" / "here"
    root.mkdir(parents=True)
    (tmp_path / "secret.bin").write_bytes(np.ones(6, np.float32).tobytes())
    make(root / "bad.onnx")
    with pytest.raises(DetectorError, match=reason) as refused:
        make_detector(Onnx("bad.onnx"), root)
    assert "'bad.onnx'" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["../outside.onnx", "a/../../outside.onnx", "link.onnx", "folder/outside.onnx"]
)
def test_a_model_outside_the_model_folder_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "models"
    root.mkdir()
    models.yolov8(tmp_path / "outside.onnx", (64, 64))
    (root / "link.onnx").symlink_to(tmp_path / "outside.onnx")
    (root / "folder").symlink_to(tmp_path)
    for each in (name, str(tmp_path / "outside.onnx")):
        with pytest.raises(DetectorError, match="outside the model folder"):
            make_detector(Onnx(each), root)


@pytest.mark.parametrize("name", ["absent.onnx", "absent/model.onnx", "a\x00b.onnx", "loop.onnx", "."])
def test_a_model_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    with pytest.raises(DetectorError, match=r"There is no model .*VA_MODEL_ROOT"):
        make_detector(Onnx(name), tmp_path)


def test_a_link_within_the_model_folder_is_followed(tmp_path: Path) -> None:
    models.yolov8(tmp_path / "v2.onnx", (64, 64))
    (tmp_path / "current.onnx").symlink_to("v2.onnx")
    assert load_model(tmp_path, "current.onnx") is load_model(tmp_path, "v2.onnx")


def test_without_onnx_runtime_the_user_learns_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DetectorError, match=r"install videoanalysis\[onnx\]"):
        make_detector(Onnx("model.onnx"), tmp_path)

"""Models are read as their exporters read them: tiny ones, made by tools/exported_models."""

from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from app.detectors.base import DetectorError
from app.detectors.onnx.cache import ModelCache
from app.detectors.onnx.detector import OnnxDetector
from app.domain.detector_config import Onnx
from tests.support.pictures import ArrayPicture, overlap
from tools.exported_models.common import FOLDER, picture

# Exporters resize with other kernels, and stored boxes and scores are rounded.
LEAST_OVERLAP = 0.95
SCORE = 0.02


class Expected(msgspec.Struct):
    """What the exporter's own code finds in the picture."""

    number: int = msgspec.field(name="class")
    score: float
    box: tuple[float, float, float, float]


class Exported(msgspec.Struct):
    exporter: str
    detector: dict[str, Any]
    detections: list[Expected]


def read(name: str) -> Exported:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Exported)


def find(name: str, options: dict[str, Any]) -> list[tuple[int | None, float, tuple[float, ...]]]:
    config = msgspec.convert({"type": "onnx", "model": f"{name}.onnx", **options}, Onnx)
    bgr = np.asarray(cv2.cvtColor(picture(), cv2.COLOR_RGB2BGR), np.uint8)
    found = OnnxDetector(config, ModelCache(FOLDER)).detect(ArrayPicture(bgr), 0)
    return [(each.class_id, each.confidence, each.box) for each in found]


def unmatched(exported: Exported, found: list[tuple[int | None, float, tuple[float, ...]]]) -> list[Expected]:
    """Return what the exporter finds, and this product does not find with that class, score and box."""
    width, height = picture().shape[1], picture().shape[0]
    left = list(found)
    missing = []
    for each in exported.detections:
        box = tuple(
            float(np.clip(side, 0, limit)) for side, limit in zip(each.box, (width, height) * 2, strict=True)
        )
        if box[0] >= box[2] or box[1] >= box[3]:  # outside of the picture
            continue
        for candidate in left:
            number, score, place = candidate
            if (
                number == each.number
                and abs(score - each.score) <= SCORE
                and overlap(box, place) >= LEAST_OVERLAP
            ):
                left.remove(candidate)
                break
        else:
            missing.append(each)
    return missing


NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_the_boxes_are_those_of_the_exporters_own_code(name: str) -> None:
    exported = read(name)
    found = find(name, exported.detector)
    few = len(exported.detections) // 20  # may change places with one that is as likely
    assert len(unmatched(exported, found)) <= few
    assert len(found) <= len(exported.detections) + few


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("rt_detr", {"fit": "letterbox"}),
        ("rt_detr", {"colours": "bgr"}),
        ("detr", {"fit": "letterbox"}),
        ("yolos", {"fit": "stretch", "mean": [0, 0, 0], "std": [1, 1, 1]}),
        ("yolox", {"colours": "rgb"}),
        ("yolox", {"fit": "letterbox"}),
        ("yolox", {"range": 1}),
    ],
)
def test_another_input_finds_something_else(name: str, wrong: dict[str, Any]) -> None:
    exported = read(name)
    found = find(name, exported.detector | {"input": wrong})
    assert len(unmatched(exported, found)) > len(exported.detections) // 4


def test_what_the_file_does_not_tell_must_be_stated() -> None:
    with pytest.raises(DetectorError, match="State the detector's `layout`: rtdetr_transformers"):
        find("rt_detr", {})


def test_every_model_has_its_boxes() -> None:
    assert sorted(path.stem for path in Path(FOLDER).glob("*.onnx")) == NAMES
    assert len(NAMES) == 6

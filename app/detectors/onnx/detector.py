"""Whatever a YOLO network was trained to find."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...domain.detector_config import Onnx
from ...domain.picture import Picture
from ...domain.prediction import Detection
from ..base import DetectorError, Found, PerThread, detections
from .model import Model, load_model
from .yolo import candidates, suppressed

Floats = NDArray[np.float32]

BORDER = 114 / 255  # the gray that these networks were trained to see beside a picture


class OnnxDetector:
    """Runs a model on each picture, scaled to fit its input with its proportions kept."""

    memory = None

    def __init__(self, config: Onnx, model_root: Path) -> None:
        """Raises DetectorError where the model cannot be used."""
        self._config = config
        self._model = load_model(model_root, config.model)
        self._wanted = None if config.labels is None else _numbers(self._model, config.labels, config.model)
        self._canvas = PerThread(lambda: _Canvas(self._model))

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        placed = self._canvas.tool.draw(picture)
        answer = self._model.infer(placed.pixels)[0]
        found = candidates(answer, self._model.layout, self._config.confidence)
        if self._wanted is not None:
            found = found.only(np.isin(found.classes, self._wanted))
        if self._model.layout.name != "finished":
            found = suppressed(found, self._config.iou)
        boxes = (found.boxes - placed.corner) * placed.scale
        return detections(
            picture,
            [
                Found(self._model.label(number), score, *box)
                for number, score, box in zip(
                    found.classes.tolist(), found.scores.tolist(), boxes.tolist(), strict=True
                )
            ],
        )


class _Placed(NamedTuple):
    """A picture in a network's input; a box there is `(box - corner) * scale` in the picture."""

    pixels: Floats  # (1, 3, height, width)
    corner: Floats  # left, top, left, top
    scale: Floats


class _Canvas:
    """One thread's input for a network; each picture is drawn over the last, since fresh memory is slow."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._pixels = np.empty((1, 3, 0, 0), np.float32)
        self._drawn = (0, 0)

    def draw(self, picture: Picture) -> _Placed:
        scale = min(self._model.width / picture.width, self._model.height / picture.height)
        width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        if self._drawn != (width, height):
            self._pixels = np.full((1, 3, *self._sides(height, width)), BORDER, np.float32)
            self._drawn = width, height
        top, left = (self._pixels.shape[2] - height) // 2, (self._pixels.shape[3] - width) // 2
        rooms = self._pixels[0, ::-1, top : top + height, left : left + width]
        for colour, room in zip(cv2.split(picture.bgr((width, height))), rooms, strict=True):
            np.multiply(colour, np.float32(1 / 255), out=room)
        across, down = picture.width / width, picture.height / height
        return _Placed(
            self._pixels,
            np.array((left, top, left, top), np.float32),
            np.array((across, down, across, down), np.float32),
        )

    def _sides(self, height: int, width: int) -> tuple[int, int]:
        """An elastic input is no larger than the picture needs: for 16:9, 60 % of the square."""
        if not self._model.elastic:
            return self._model.height, self._model.width
        stride = self._model.stride
        return -(-height // stride) * stride, -(-width // stride) * stride


def _numbers(model: Model, labels: Iterable[str], name: str) -> list[int]:
    """The numbers of the classes so called. Raises DetectorError for a label that the model does not know."""
    known = set(model.labels.values())
    numbers = [number for number, label in model.labels.items() if label in labels]
    for label in labels:
        if number := re.fullmatch(r"class:(\d{1,9})", label):
            numbers.append(int(number[1]))
        elif label not in known:
            has = ", ".join(sorted(known)[:100]) or "no names, so that labels are class:0, class:1, …"
            raise DetectorError(f"The model {name!r} has no label {label!r}. It has {has}.")
    return numbers

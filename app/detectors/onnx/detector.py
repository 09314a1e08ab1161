"""Objects that a YOLO network in an ONNX file was trained to find."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ...domain.detector_config import Onnx
from ...domain.picture import Picture
from ...domain.pins import Pins
from ...domain.prediction import Detection
from ..base import Detector, DetectorError, PerThread, RawDetection, normalize
from .cache import ModelCache
from .model import Model
from .yolo import candidates, nms

Floats = NDArray[np.float32]

PADDING = 114 / 255  # the gray around pictures in the training of these networks


class OnnxDetector(Detector):
    """Runs a model on each picture, scaled to its input with the proportions kept."""

    def __init__(self, config: Onnx, models: ModelCache) -> None:
        """Load the model.

        Raises:
            DetectorError: the model cannot be used
        """
        self._config = config
        self._model = models.load(config.model)
        self.pins = Pins(model=self._model.digest, backend="onnxruntime")
        self._wanted = None if config.labels is None else _numbers(self._model, config.labels, config.model)
        self._letterbox = PerThread(lambda: _Letterbox(self._model))

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        scaled = self._letterbox.value.scale(picture)
        output = self._model.infer(scaled.pixels)[0]
        found = candidates(output, self._model.layout, self._config.confidence)
        if self._wanted is not None:
            found = found.only(np.isin(found.classes, self._wanted))
        if self._model.layout.name != "end_to_end":
            found = nms(found, self._config.iou)
        boxes = (found.boxes - scaled.offset) * scaled.factor
        return normalize(
            picture,
            [
                RawDetection(self._model.label(number), score, *box)
                for number, score, box in zip(
                    found.classes.tolist(), found.scores.tolist(), boxes.tolist(), strict=True
                )
            ],
        )


class _ScaledPicture(NamedTuple):
    """A picture as a network's input. A box in it is `(box - offset) * factor` in the picture."""

    pixels: Floats  # (1, 3, height, width), RGB, 0 to 1
    offset: Floats  # left, top, left, top
    factor: Floats


class _Letterbox:
    """Per-thread input buffer, reused between frames because allocation is slow."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._pixels = np.empty((1, 3, 0, 0), np.float32)
        self._size = (0, 0)

    def scale(self, picture: Picture) -> _ScaledPicture:
        """Return the picture in the middle of the network's input, with its proportions kept."""
        factor = min(self._model.width / picture.width, self._model.height / picture.height)
        width, height = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
        if self._size != (width, height):
            self._pixels = np.full((1, 3, *self._input_shape(height, width)), PADDING, np.float32)
            self._size = width, height
        top, left = (self._pixels.shape[2] - height) // 2, (self._pixels.shape[3] - width) // 2
        planes = self._pixels[0, ::-1, top : top + height, left : left + width]
        for colour, plane in zip(cv2.split(picture.bgr((width, height))), planes, strict=True):
            np.multiply(colour, np.float32(1 / 255), out=plane)
        across, down = picture.width / width, picture.height / height
        return _ScaledPicture(
            self._pixels,
            np.array((left, top, left, top), np.float32),
            np.array((across, down, across, down), np.float32),
        )

    def _input_shape(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width; a dynamic shape is no larger than needed: for 16:9, 60 % of the square."""
        if not self._model.has_dynamic_shape:
            return self._model.height, self._model.width
        stride = self._model.stride
        return -(-height // stride) * stride, -(-width // stride) * stride


def _numbers(model: Model, labels: Sequence[str], name: str) -> list[int]:
    """Return the numbers of the classes with these labels.

    Raises:
        DetectorError: there are no labels, or the model does not have one of them
    """
    if not labels:
        raise DetectorError("The list of labels is empty, so nothing would be found. Leave it out for all.")
    known = set(model.labels.values())
    numbers = [number for number, label in model.labels.items() if label in labels]
    for label in labels:
        number = re.fullmatch(r"class:(\d{1,9})", label)
        if number and (not model.classes or int(number[1]) < model.classes):
            numbers.append(int(number[1]))
        elif label not in known:
            raise DetectorError(
                f"The model {name!r} has no label {label!r}. It has {_describe_labels(model)}."
            )
    return numbers


def _describe_labels(model: Model) -> str:
    if model.labels:
        return ", ".join(sorted(set(model.labels.values()))[:100])
    last = f" to class:{model.classes - 1}" if model.classes > 1 else ""
    return f"no names, so its labels are class:0{last}" + ("" if model.classes else ", class:1, …")

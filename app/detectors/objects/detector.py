"""Objects of COCO's classes, by the model that comes with the service."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...domain.coco import COCO_GROUPS, COCO_LABELS
from ...domain.detector_config import Objects
from ...domain.model_input import StatedModel
from ...domain.picture import Picture
from ...domain.pins import Pins
from ...domain.prediction import Detection
from ..base import Detector, PerThread, RawDetection, normalize
from ..layouts.candidates import Candidates, nms
from ..layouts.preprocessing import PictureScaler
from ..onnx.model import ModelSource
from .tiles import tiles_of

WEIGHTS = Path(__file__).with_name("coco_ssd.onnx")

# Letterboxed, although it was trained on stretched pictures: of people in 16:9 pictures it finds 86 to 98 %
# instead of 69 to 85 % (measured, docs/objects.md).
STATED = StatedModel(layout="yolov8")
_IOU = 0.5


class ObjectsDetector(Detector):
    """Runs the model on the whole picture and, if the configuration asks for tiles, on parts of it."""

    def __init__(self, config: Objects, models: ModelSource) -> None:
        """Load the model.

        Raises:
            DetectorError: the inference backend cannot use it
        """
        self._config = config
        self._model = models.load_file(WEIGHTS, "objects")
        self._understood = self._model.understood(STATED)
        self._wanted = None if config.labels is None else class_numbers_of(config.labels)
        self.pins = Pins(
            model=self._model.digest, backend=self._model.backend, precision=self._model.precision
        )
        self._scaler = PerThread(lambda: PictureScaler(self._understood.form))

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        found = self._find(picture)
        if self._config.tiles > 1:
            for tile in tiles_of(picture, self._config.tiles, max(self._understood.form.size)):
                in_picture = map(tile.in_picture, self._find(tile.picture))
                found += [each for each in in_picture if each is not None]
            found = _without_repeats(found)
        return normalize(picture, found)

    def _find(self, picture: Picture) -> list[RawDetection]:
        scaled = self._scaler.value.scale(picture)
        outputs = self._model.infer(self._understood.feeds(scaled), self._understood.layout.outputs)
        return self._understood.find(
            outputs, scaled, picture, confidence=self._config.confidence, iou=_IOU, wanted=self._wanted
        )


def class_numbers_of(labels: Iterable[str]) -> list[int]:
    """Return the numbers of the classes with these labels, or in groups of these names."""
    names = {name for label in labels for name in COCO_GROUPS.get(label, (label,))}
    return [number for number, name in enumerate(COCO_LABELS) if name in names]


def _without_repeats(found: list[RawDetection]) -> list[RawDetection]:
    """Return the detections without those that overlap a more confident one of their class."""
    if not found:
        return []
    boxes = np.array([each[2:6] for each in found], np.float32)
    scores = np.array([each.confidence for each in found], np.float32)
    classes = np.array([each.class_id for each in found], np.int64)
    kept = nms(Candidates(boxes, scores, classes), _IOU)
    return [
        RawDetection(COCO_LABELS[number], score, x1, y1, x2, y2, number)
        for number, score, (x1, y1, x2, y2) in zip(
            kept.classes.tolist(), kept.scores.tolist(), kept.boxes.tolist(), strict=True
        )
    ]

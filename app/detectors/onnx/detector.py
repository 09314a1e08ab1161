"""Objects that a network in an ONNX file was trained to find."""

from ...domain.detector_config import Onnx
from ...domain.picture import Picture
from ...domain.pins import Pins
from ...domain.prediction import Detection
from ..base import Detector, DetectorError, PerThread, normalize
from ..layouts.labels import class_numbers
from ..layouts.preprocessing import PictureScaler
from .model import ModelSource


class OnnxDetector(Detector):
    """Runs a model on each picture, scaled to its input as it was trained."""

    def __init__(self, config: Onnx, models: ModelSource) -> None:
        """Load the model.

        Raises:
            DetectorError: the model cannot be used
        """
        self._config = config
        self._model = models.load(config.model)
        try:
            self.understood = self._model.understood(config.stated)
            self._wanted = None if config.labels is None else class_numbers(self.understood, config.labels)
        except DetectorError as error:
            raise DetectorError(f"The model {config.model!r} cannot be used. {error}") from error.__cause__
        self.pins = Pins(
            model=self._model.digest, backend=self._model.backend, precision=self._model.precision
        )
        self._scaler = PerThread(lambda: PictureScaler(self.understood.form))

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        scaled = self._scaler.value.scale(picture)
        outputs = self._model.infer(self.understood.feeds(scaled), self.understood.layout.outputs)
        found = self.understood.find(
            outputs,
            scaled,
            picture,
            confidence=self._config.confidence,
            iou=self._config.iou,
            wanted=self._wanted,
        )
        return normalize(picture, found)

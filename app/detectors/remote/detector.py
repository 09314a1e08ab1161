"""Objects that a model on an inference server was trained to find."""

from threading import Lock

from ...domain.detector_config import Remote
from ...domain.model_input import ModelInput, StatedModel
from ...domain.picture import Picture
from ...domain.pins import Pins
from ...domain.prediction import Detection
from ..base import Detector, DetectorError, PerThread, PostponedError, UnusableError, normalize
from ..layouts.families import FAMILIES
from ..layouts.labels import class_numbers
from ..layouts.preprocessing import PictureScaler
from ..layouts.understanding import UnderstoodModel, understand
from .model_url import parse_model
from .servers import InferenceServers
from .session import RemoteSession

_BUSY = 0.25  # seconds to wait while another thread tries the model


class RemoteDetector(Detector):
    """Sends each picture to the server, scaled as the model was trained. It asks nothing before the first.

    While no server answers, `detect` raises PostponedError.
    """

    def __init__(self, config: Remote, servers: InferenceServers) -> None:
        """Raises DetectorError: an address is not one of a model."""
        urls = (config.url, *config.more_urls)
        try:
            addresses = [parse_model(url) for url in urls]
        except ValueError as error:
            raise DetectorError(f"The address cannot be used: {error}.") from error
        self.servers = " ".join(sorted(urls))
        self._config = config
        self._session = RemoteSession(addresses, servers, config.timeout_seconds)
        self._preparing = Lock()
        self._model: tuple[UnderstoodModel, list[int] | None] | None = None

    @property
    def tries(self) -> int:
        return self._session.tries

    def detect(self, picture: Picture, _frame: int) -> tuple[Detection, ...]:
        understood, wanted = self._model or self._prepare()
        scaled = self._scaler.value.scale(picture)
        outputs = self._session.run(understood.feeds(scaled), understood.layout.outputs)
        found = understood.find(
            outputs,
            scaled,
            picture,
            confidence=self._config.confidence,
            iou=self._config.iou,
            wanted=wanted,
        )
        return normalize(picture, found)

    def close(self) -> None:
        self._session.close()

    def _prepare(self) -> tuple[UnderstoodModel, list[int] | None]:
        """Find out what the model takes and gives.

        Raises:
            PostponedError: no server answers now
            UnusableError: it cannot be read with certainty
        """
        if not self._preparing.acquire(blocking=False):
            raise PostponedError("", _BUSY)
        try:
            if self._model is None:
                self._model = self._understand()
            return self._model
        finally:
            self._preparing.release()

    def _understand(self) -> tuple[UnderstoodModel, list[int] | None]:
        config, session = self._config, self._session
        session.prepare()
        try:
            understood = understand(
                session, StatedModel(config.layout, config.input or ModelInput(), config.names)
            )
            wanted = None if config.labels is None else class_numbers(understood, config.labels)
        except DetectorError as error:
            raise UnusableError(f"The model at {config.url} cannot be used. {error}") from error
        session.has_fixed_shapes = FAMILIES[understood.layout.name].needs_nms
        self._scaler = PerThread(lambda: PictureScaler(understood.form))
        self.pins = Pins(model=session.pin, backend=session.backend or None)
        return understood, wanted

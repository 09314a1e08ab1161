"""Detectors whose models are on inference servers."""

from collections.abc import Callable
from threading import Lock

from msgspec import UNSET
from msgspec.structs import replace

from ...domain.detector_config import Onnx, Remote
from ...domain.picture import Picture
from ...domain.prediction import Detection
from ..base import Detector, DetectorError, PostponedError, UnusableError
from ..onnx.detector import OnnxDetector
from .model_url import model_at, parse_model
from .models import RemoteModels
from .servers import InferenceServers
from .session import RemoteSession

_BUSY = 0.25  # seconds to wait while another thread makes the detector


class RemoteDetector(Detector):
    """A detector that is made when the first picture comes, because its servers may be away.

    While no server answers, `detect` raises PostponedError.
    """

    def __init__(self, servers: str, models: RemoteModels, make: Callable[[RemoteModels], Detector]) -> None:
        self.servers = servers
        self._models = models
        self._make = make
        self._making = Lock()
        self._made: Detector | None = None

    @property
    def tries(self) -> int:
        return self._models.tries

    def detect(self, picture: Picture, frame: int) -> tuple[Detection, ...]:
        return (self._made or self._make_once()).detect(picture, frame)

    def close(self) -> None:
        self._models.close()

    def _make_once(self) -> Detector:
        if not self._making.acquire(blocking=False):
            raise PostponedError("", _BUSY)
        try:
            made = self._made or self._make(self._models)
        except DetectorError as error:
            raise UnusableError(str(error)) from error
        else:
            self.pins = replace(made.pins, precision=made.pins.precision or None)
            self._made = made
            return made
        finally:
            self._making.release()


def detector_at(config: Remote, servers: InferenceServers) -> RemoteDetector:
    """Return the detector of a model that the user names by its address.

    Raises:
        DetectorError: the address names no model
    """
    urls = (config.url, *config.more_urls)
    try:
        addresses = [parse_model(url) for url in urls]
    except ValueError as error:
        raise DetectorError(f"The address cannot be used: {error}.") from error
    models = RemoteModels(lambda _: RemoteSession(addresses, servers, config.timeout_seconds))
    as_file = Onnx(
        config.url,
        config.confidence,
        config.iou,
        config.labels,
        config.layout or UNSET,
        config.input or UNSET,
        config.names or UNSET,
    )
    return RemoteDetector(" ".join(sorted(urls)), models, lambda models: OnnxDetector(as_file, models))


def detector_on_backend(
    make: Callable[[RemoteModels], Detector], servers: InferenceServers, timeout: float = 30.0
) -> RemoteDetector:
    """Return a detector whose model is computed by the servers of VA_INFERENCE_URLS."""

    def open_session(name: str) -> RemoteSession:
        try:
            addresses = [model_at(server, name) for server in servers.backend]
        except ValueError as error:
            raise DetectorError(f"The model cannot be used: {error}.") from error
        return RemoteSession(addresses, servers, timeout)

    return RemoteDetector(" ".join(sorted(map(str, servers.backend))), RemoteModels(open_session), make)

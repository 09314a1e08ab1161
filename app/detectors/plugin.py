"""The detector of a plug-in, as the rest of the service knows detectors."""

from collections.abc import Iterable
from typing import Any

from ..domain.detector_config import PLUGINS
from ..domain.picture import Picture
from ..domain.pins import Pins
from ..domain.plugins import PluginConfig
from ..domain.prediction import Detection
from .base import Detector, DetectorError, RawDetection, WarmUp, normalize


class PluginDetector(Detector):
    """Calls a plug-in's `detect`, and checks, rounds and sorts what it returns.

    The results depend on the plug-in's version, so its package takes the place of a backend in the pins.
    """

    def __init__(self, config: PluginConfig) -> None:
        """Have the plug-in make its detector.

        Raises:
            DetectorError: it cannot
        """
        self._name = str(config.__struct_config__.tag)
        package = PLUGINS.packages.get(self._name)
        try:
            made: Any = config.make_detector()
            self._detect = made.detect
            warm_up = getattr(made, "warm_up", None)
            self.warm_up = None if warm_up is None else WarmUp(*warm_up)
            # It is called from one thread unless it says that it may be called from several.
            self.is_single_threaded = bool(getattr(made, "is_single_threaded", True))
            self.pins = Pins(model=getattr(made, "model_digest", None), backend=package)
        except (Exception, SystemExit) as error:  # a plug-in can raise anything
            told = str(error) or type(error).__name__
            raise DetectorError(f"The detector {self._name!r} of {package} cannot be made: {told}") from error

    def detect(self, picture: Picture, frame: int, /) -> tuple[Detection, ...]:
        try:
            return normalize(picture, map(self._checked, self._listed(self._detect(picture, frame))))
        except SystemExit as error:  # it would end the service
            raise RuntimeError(f"the detector {self._name!r} called sys.exit({error})") from error

    def _listed(self, found: Any) -> Iterable[Any]:
        if isinstance(found, Iterable):
            return found
        raise TypeError(
            f"the detector {self._name!r} must return a list, empty if it found nothing, not {found!r:.100}"
        )

    def _checked(self, found: Any) -> RawDetection:
        values = tuple(found) if isinstance(found, Iterable) else ()
        if len(values) not in (6, 7) or not isinstance(values[0], str):
            raise TypeError(
                f"the detector {self._name!r} must return label, confidence, x1, y1, x2, y2"
                f" and perhaps a class number for each detection, not {found!r:.100}"
            )
        confidence, x1, y1, x2, y2 = map(float, values[1:6])
        class_id = int(values[6]) if len(values) == 7 and values[6] is not None else None
        return RawDetection(values[0], confidence, x1, y1, x2, y2, class_id)

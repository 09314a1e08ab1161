"""Notice that frames come too far apart to follow what moves, such as key frames of a camera."""

from ...domain.analysis import Tracking
from ...domain.reason import ScenarioWarning
from ...domain.rule_warnings import RARE, rarity_warning, sampling_warning
from ...domain.spec import ScenarioSpec
from ...predictions.checkpoint import Checkpoint

_ENOUGH = 10  # gaps in a row: a camera that is lost now and then has some, too


class FrameGaps:
    """Sees the times of frames that are analysed. `warning` is set once enough of them are far apart."""

    def __init__(self, tracking: Tracking | None) -> None:
        """`tracking`: None: nothing is noticed."""
        self.warning: ScenarioWarning | None = None
        self._tracking = tracking
        self._times: list[float] = []  # since the last gap that was short enough

    def note(self, time: float) -> None:
        """Take the time of the next frame, in seconds."""
        if self._tracking is None or self.warning is not None:
            return
        if self._times and time - self._times[-1] < self._tracking.max_gap_seconds:
            self._times.clear()
        self._times.append(time)
        if len(self._times) > _ENOUGH:
            interval = (time - self._times[0]) / _ENOUGH
            self.warning = rarity_warning(interval, self._tracking.max_gap_seconds)


def gaps_to_notice(spec: ScenarioSpec, claimed: Checkpoint) -> FrameGaps:
    """Return what notices gaps that users were not told of yet, by the specification or by an earlier run."""
    is_told = any(warning.code == RARE for warning in claimed.warnings)
    if is_told or sampling_warning(spec.sampling, spec.tracking) is not None:
        return FrameGaps(None)
    return FrameGaps(spec.tracking)

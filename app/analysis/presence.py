"""Events of labels: from when to when each is visible."""

from collections.abc import Sequence

from ..domain.prediction import Detection
from .alerts import AlertRules
from .recorder import EventRecorder
from .state import AnalysisState
from .stays import Stay
from .tracking.tracker import MAX_FOOTAGE_GAP

MAX_LABELS = 64
"""Labels that are visible at once and have events."""


class LabelWatcher:
    """Turns the labels of detections into events. `max_gap` is in seconds.

    `alerts` are the rules that labels meet; None if objects do.
    """

    def __init__(
        self, max_gap: float, state: AnalysisState, alerts: AlertRules | None, recorder: EventRecorder
    ) -> None:
        self._max_gap = max_gap
        self._state = state
        self._alerts = alerts
        self._recorder = recorder

    def update(
        self, frame: int, time: float, elapsed: float, seen: Sequence[Detection], scores: Sequence[float]
    ) -> None:
        """Take what is visible in a frame, and its scores. `elapsed`: seconds since the one before."""
        presences = self._state.presences
        looked = min(elapsed, self._max_gap)
        for label, stay in list(presences.items()):
            if elapsed > MAX_FOOTAGE_GAP or stay.is_over(looked, self._max_gap):
                del presences[label]
                self._recorder.ended(stay)
        visible: dict[str, Stay] = {}
        for one, score in zip(seen, scores, strict=True):
            label = one.label
            known = presences.get(label)
            if known is not None:
                if label not in visible or score > known.score or one.confidence > known.confidence:
                    known.see(frame, time, one, score)
                    visible[label] = known
            elif len(presences) < MAX_LABELS:
                known = self._recorder.begin("presence", label, None, None, frame, time, one)
                presences[label] = visible[label] = known
            else:
                self._state.had_too_many_labels = True
        for stay in visible.values():
            self._recorder.changed[stay.event_id] = stay
            if self._alerts is not None:
                self._alerts.check_stay(stay, frame, time)

"""The events of one frame, and their numbers."""

from ..domain.analysis import Side
from ..domain.event import Event, EventKind
from .state import AnalysisState
from .stays import Seen, Stay, score_of
from .tracking.state import Sighting


class EventRecorder:
    """Numbers events, and collects those that a frame begins or changes: each once, as it is at last."""

    def __init__(self, state: AnalysisState) -> None:
        self._state = state
        self.changed: dict[int, Event | Stay] = {}
        """By number. A stay goes on, and is told as it is when it is asked for."""

    def take(self) -> tuple[Event, ...]:
        """Return the events that are new or changed since the last call."""
        events = [one.as_event("open") if isinstance(one, Stay) else one for one in self.changed.values()]
        self.changed.clear()
        return tuple(events)

    def begin(
        self,
        kind: EventKind,
        label: str,
        track_id: int | None,
        name: str | None,
        frame: int,
        time: float,
        first: Seen,
    ) -> Stay:
        """Return a stay that begins with what is seen first."""
        number, confidence, score = self._next_number(), first.confidence, score_of(first)
        ends = frame, time, frame, time
        stay = Stay(
            number, kind, label, track_id, name, *ends, frame, time, first.box, confidence, score, confidence
        )
        self.changed[number] = stay
        return stay

    def ended(self, stay: Stay) -> None:
        """Record that a stay is over."""
        self.changed[stay.event_id] = stay.as_event("ended")

    def crossed(self, line: str, side: Side, stay: Stay, seen: Sighting) -> None:
        """Record that the object with this stay has crossed a line: at once, and seen best then."""
        best = seen.frame, seen.time, seen.box, seen.confidence
        self._at_once("line", line, side, stay, seen.frame, seen.time, *best)

    def fired(
        self, rule: str, side: Side | None, stay: Stay, frame: int, time: float, seen: Sighting | None
    ) -> None:
        """Record that an alert rule fired in this frame; it is seen best in `seen`, or as the stay is."""
        if seen is None:
            best = stay.best_frame, stay.best_time, stay.best_box, stay.best_confidence
        else:
            best = seen.frame, seen.time, seen.box, seen.confidence
        self._at_once("alert", rule, side, stay, frame, time, *best)

    def _at_once(
        self,
        kind: EventKind,
        name: str,
        side: Side | None,
        stay: Stay,
        frame: int,
        time: float,
        *best: *tuple[int, float, tuple[float, float, float, float], float],
    ) -> None:
        number = self._next_number()
        when = frame, time, frame, time
        self.changed[number] = Event(
            number, kind, "ended", stay.label, stay.track_id, name, side, *when, *best
        )

    def _next_number(self) -> int:
        number = self._state.next_event_id
        self._state.next_event_id += 1
        return number

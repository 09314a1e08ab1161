"""The events of one frame, and their numbers."""

from ..domain.analysis import Side
from ..domain.event import Event, EventKind
from .state import AnalysisState
from .stays import Stay
from .tracking.state import Sighting


class EventRecorder:
    """Numbers events, and collects those that a frame begins or changes: each once, as it is at last."""

    def __init__(self, state: AnalysisState) -> None:
        self._state = state
        self._events: dict[
            int, Event | Stay
        ] = {}  # a stay goes on, and is told as it is when it is asked for

    def take(self) -> tuple[Event, ...]:
        """Return the events that are new or changed since the last call."""
        events, self._events = self._events, {}
        return tuple([one.as_event("open") if isinstance(one, Stay) else one for one in events.values()])

    def begin(
        self, kind: EventKind, label: str, track_id: int | None, name: str | None, first: Sighting
    ) -> Stay:
        """Return a stay that begins with its first sighting."""
        box, frame, time, confidence = first.box, first.frame, first.time, first.confidence
        score = confidence * ((box[2] - box[0]) * (box[3] - box[1]))
        number = self._next_number()
        ends = frame, time, frame, time
        stay = Stay(
            number, kind, label, track_id, name, *ends, frame, time, box, confidence, score, confidence
        )
        self.went_on(stay)
        return stay

    def went_on(self, stay: Stay) -> None:
        """Record that a stay was seen."""
        self._events[stay.event_id] = stay

    def ended(self, stay: Stay) -> None:
        """Record that a stay is over."""
        self._events[stay.event_id] = stay.as_event("ended")

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
        self._events[number] = Event(
            number, kind, "ended", stay.label, stay.track_id, name, side, *when, *best
        )

    def _next_number(self) -> int:
        number = self._state.next_event_id
        self._state.next_event_id += 1
        return number

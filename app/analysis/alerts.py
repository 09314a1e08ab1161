"""Alert rules: when a stay or a crossing meets one."""

from collections import defaultdict
from collections.abc import Sequence

from ..domain.analysis import Alert, Side
from .recorder import EventRecorder
from .stays import ROUNDING, Stay
from .tracking.state import Sighting


class AlertRules:
    """The alert rules, by what they watch. `cooldowns` holds for each rule when it last fired, in seconds."""

    def __init__(self, alerts: Sequence[Alert], cooldowns: dict[str, float], recorder: EventRecorder) -> None:
        self._cooldowns = cooldowns
        self._recorder = recorder
        self._of_picture = [alert for alert in alerts if alert.zone is None and alert.line is None]
        self._of_zones: dict[str | None, list[Alert]] = defaultdict(list)
        self._of_lines: dict[str | None, list[Alert]] = defaultdict(list)
        for alert in alerts:
            if alert.zone is not None:
                self._of_zones[alert.zone].append(alert)
            elif alert.line is not None:
                self._of_lines[alert.line].append(alert)

    def watches(self, zone: str | None) -> bool:
        """Return whether there are rules for stays in a zone, or, if it is None, in the picture."""
        return bool(self._of_picture) if zone is None else zone in self._of_zones

    def check_stay(self, stay: Stay, frame: int, time: float) -> None:
        """Fire, in this frame, the rules that a stay meets now, each once for a stay.

        A rule that is silent because of its cooldown fires afterwards, if the stay still goes on then.
        """
        rules = self._of_zones.get(stay.name, ()) if stay.kind == "zone" else self._of_picture
        for rule in rules:
            if (
                rule.name not in stay.fired
                and stay.end_time - stay.start_time >= rule.min_seconds - ROUNDING
                and self._is_met(rule, stay, time)
            ):
                stay.fired = [*stay.fired, rule.name]
                self._cooldowns[rule.name] = time
                self._recorder.fired(rule.name, None, stay, frame, time, None)

    def check_crossing(
        self, line: str, side: Side, stay: Stay, seen: Sighting, frame: int, time: float
    ) -> None:
        """Fire, in this frame, the rules that are met by the crossing of the object with this stay."""
        for rule in self._of_lines.get(line, ()):
            if rule.direction in (None, side) and self._is_met(rule, stay, time):
                self._cooldowns[rule.name] = time
                self._recorder.fired(rule.name, side, stay, frame, time, seen)

    def _is_met(self, rule: Alert, stay: Stay, time: float) -> bool:
        """Return whether label and confidence are those of the rule, and it is not silent.

        A clock that was set back by more than the cooldown ends it.
        """
        if stay.confidence < rule.min_confidence or not (rule.labels is None or stay.label in rule.labels):
            return False
        fired = self._cooldowns.get(rule.name)
        return fired is None or abs(time - fired) >= rule.cooldown_seconds - ROUNDING

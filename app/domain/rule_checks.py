"""Check of zones, lines, alerts and `notify` what their types do not say."""

from collections.abc import Sequence
from itertools import combinations

from .analysis import Alert, AnalysisRules, Line, Notify, Point, Zone

_IntegerPoint = tuple[int, int]
_Edge = tuple[_IntegerPoint, _IntegerPoint]


class RuleError(ValueError):
    """A rule makes no sense. The message says what to do; `field` is the rule's path: `zones[1].polygon`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check_rules(rules: AnalysisRules) -> None:
    """Check that each zone, line and alert can be met. Raises RuleError for the first that cannot."""
    _check_names("zones", rules.zones)
    _check_names("lines", rules.lines)
    _check_names("alerts", rules.alerts)
    for number, zone in enumerate(rules.zones):
        _check_polygon(f"zones[{number}].polygon", zone.polygon)
        _check_zone_is_used(f"zones[{number}]", zone, rules)
    for number, line in enumerate(rules.lines):
        if line.start == line.end:
            field = f"lines[{number}].to"
            raise RuleError(field, f"`{field}` is the same point as `from`; give the line's other end.")
        _check_tracking(f"lines[{number}]", rules)
    for number, alert in enumerate(rules.alerts):
        _check_alert(f"alerts[{number}]", alert, rules)


def check_notify(rules: AnalysisRules, notify: Notify) -> None:
    """Check that there can be each kind of event that is told. Raises RuleError for the first that cannot."""
    is_possible = {
        "object": rules.tracking is not None,
        "zone": any(not zone.ignore for zone in rules.zones),
        "line": bool(rules.lines),
        "presence": rules.presence is not None,
        "alert": bool(rules.alerts),
    }
    for number, kind in enumerate(notify.on):
        if not is_possible[kind]:
            field = f"notify.on[{number}]"
            known = ", ".join(kind for kind in is_possible if is_possible[kind])
            what = f"name others in `notify.on` ({known})" if known else "leave `notify` out"
            raise RuleError(field, f"The scenario has no event of the kind `{kind}`; {what}.")


def _check_names(field: str, rules: Sequence[Zone | Line | Alert]) -> None:
    known: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.name in known:
            field = f"{field}[{number}].name"
            raise RuleError(field, f"`{field}` is the name of another one before it; give each its own name.")
        known.add(rule.name)


def _check_zone_is_used(field: str, zone: Zone, rules: AnalysisRules) -> None:
    if not zone.ignore:
        _check_tracking(field, rules)
    elif rules.tracking is None and rules.presence is None:
        raise RuleError(
            field,
            f"`{field}` has no effect without `tracking` or `presence`; set one of them, or remove it.",
        )


def _check_tracking(field: str, rules: AnalysisRules) -> None:
    if rules.tracking is None:
        raise RuleError(
            field, f"`{field}` needs objects that are followed; set `tracking` to {{}}, or remove `{field}`."
        )


def _check_alert(field: str, alert: Alert, rules: AnalysisRules) -> None:
    if alert.zone is not None and alert.line is not None:
        message = f"`{field}` has a zone and a line; keep one of them, and make two alerts if you want both."
        raise RuleError(f"{field}.line", message)
    if alert.zone is not None:
        _check_zone_of_alert(f"{field}.zone", alert.zone, rules.zones)
    elif alert.line is not None:
        if alert.line not in {line.name for line in rules.lines}:
            message = f"`{field}.line` names no line of `lines`; use one of their names, or add the line."
            raise RuleError(f"{field}.line", message)
        if alert.min_seconds:
            message = f"`{field}.min_seconds` is of a stay, and a crossing has none; leave it out."
            raise RuleError(f"{field}.min_seconds", message)
    elif rules.tracking is None and rules.presence is None:
        message = f"`{field}` needs objects or labels that stay; set `tracking` or `presence` to {{}}."
        raise RuleError(field, message)
    if alert.direction is not None and alert.line is None:
        message = f"`{field}.direction` is of the crossing of a line; name the `line`, or leave it out."
        raise RuleError(f"{field}.direction", message)


def _check_zone_of_alert(field: str, name: str, zones: Sequence[Zone]) -> None:
    for zone in zones:
        if zone.name == name:
            if zone.ignore:
                message = f"`{field}` names a zone in which everything is ignored; use one without `ignore`."
                raise RuleError(field, message)
            return
    raise RuleError(field, f"`{field}` names no zone of `zones`; use one of their names, or add the zone.")


def _check_polygon(field: str, polygon: Sequence[Point]) -> None:
    """Check that the polygon is simple: exactly, because floats are fractions."""
    corners = _as_integers(polygon)
    count = len(corners)
    for number in range(count):
        if corners[number] == corners[number - 1]:
            before = (number - 1) % count
            message = (
                f"`{field}` has the same point at {before} and {number}, counted from 0; leave one out"
                " (the last corner is joined to the first by itself)."
            )
            raise RuleError(field, message)
    if all(_turn(corners[0], corners[1], corner) == 0 for corner in corners):
        raise RuleError(field, f"`{field}` has no area, because all points are on one line; move one away.")
    edges = [(corners[number], corners[(number + 1) % count]) for number in range(count)]
    for (first, one), (second, other) in combinations(enumerate(edges), 2):
        are_neighbours = second - first in (1, count - 1)
        if (
            _folds_back(one, other, first == 0 and second == count - 1)
            if are_neighbours
            else _meet(one, other)
        ):
            message = (
                f"`{field}` crosses or touches itself between its edges from point {first} and from"
                f" point {second}, counted from 0; list the corners in order around the area."
            )
            raise RuleError(field, message)


def _as_integers(polygon: Sequence[Point]) -> list[_IntegerPoint]:
    """Return the points times one power of two, without loss."""
    ratios = [(x.as_integer_ratio(), y.as_integer_ratio()) for x, y in polygon]
    scale = max(denominator for point in ratios for _, denominator in point)
    return [(x * (scale // x_part), y * (scale // y_part)) for (x, x_part), (y, y_part) in ratios]


def _turn(one: _IntegerPoint, two: _IntegerPoint, three: _IntegerPoint) -> int:
    """Return 1, -1 or 0: on which side of the way from `one` to `two` the third point is."""
    cross = (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])
    return (cross > 0) - (cross < 0)


def _folds_back(one: _Edge, other: _Edge, is_last: bool) -> bool:
    """Return whether two neighbouring edges lie upon each other; `is_last`: `other` is before `one`."""
    if is_last:
        one, other = other, one
    (before, corner), (_, after) = one, other
    if _turn(before, corner, after):
        return False
    return (before[0] - corner[0]) * (after[0] - corner[0]) + (before[1] - corner[1]) * (
        after[1] - corner[1]
    ) > 0


def _meet(one: _Edge, other: _Edge) -> bool:
    """Return whether two edges have a point in common."""
    (a, b), (c, d) = one, other
    for axis in (0, 1):
        if max(a[axis], b[axis]) < min(c[axis], d[axis]) or max(c[axis], d[axis]) < min(a[axis], b[axis]):
            return False
    return _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0

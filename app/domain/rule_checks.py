"""Check of zones, lines, alerts and `notify` what their types do not say."""

from collections.abc import Sequence

from .analysis import Alert, AnalysisRules, Line, Notify, Point, Zone

_Edge = tuple[Point, Point]

_ROUNDING = 4e-16
"""A cross product of floats that is larger than its terms times this has the right sign (Shewchuk 1997)."""

_CLEAR = 1e-15
"""A cross product of fractions from 0 to 1 that is larger has the right sign, too."""

_UNDERFLOW = 1e-300  # below it, floats have fewer digits


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
            if kind == "presence":
                what = f"set `presence` to {{}}, or {what}"
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
    """Check that the polygon is simple, exactly."""
    count = len(polygon)
    for number in range(count):
        if polygon[number] == polygon[number - 1]:
            before = (number - 1) % count
            message = (
                f"`{field}` has the same point at {before} and {number}, counted from 0; leave one out"
                " (the last corner is joined to the first by itself)."
            )
            raise RuleError(field, message)
    if all(_turn(polygon[0], polygon[1], corner) == 0 for corner in polygon[2:]):
        raise RuleError(field, f"`{field}` has no area, because all points are on one line; move one away.")
    edges = [(polygon[number], polygon[(number + 1) % count]) for number in range(count)]
    if crossings := _crossings(edges):
        first, second = min(crossings)
        message = (
            f"`{field}` crosses or touches itself between its edges from point {first} and from"
            f" point {second}, counted from 0; list the corners in order around the area."
        )
        raise RuleError(field, message)


def _crossings(edges: Sequence[_Edge]) -> list[tuple[int, int]]:
    """Return which edges meet other than at the corner that neighbours share.

    From left to right, each is compared only with those that begin before it ends. Most of these are clearly
    on one side of it.
    """
    found = []
    boxes = sorted(
        [
            (*one, *two, number) if one < two else (*two, *one, number)
            for number, (one, two) in enumerate(edges)
        ]
    )
    for place, (x, y, right, y2, one) in enumerate(boxes, 1):
        top, bottom = (y, y2) if y < y2 else (y2, y)
        across, down = right - x, y2 - y
        for left, other_y, other_right, other_y2, other in boxes[place:]:
            if left > right:
                break
            if (other_y > bottom and other_y2 > bottom) or (other_y < top and other_y2 < top):
                continue
            side = across * (other_y - y) - down * (left - x)
            other_side = across * (other_y2 - y) - down * (other_right - x)
            if (side > _CLEAR and other_side > _CLEAR) or (side < -_CLEAR and other_side < -_CLEAR):
                continue
            first, second = (one, other) if one < other else (other, one)
            is_last = first == 0 and second == len(edges) - 1
            if is_last or second == first + 1:
                is_straight = -_CLEAR <= side <= _CLEAR and -_CLEAR <= other_side <= _CLEAR
                is_wrong = is_straight and _folds_back(edges[first], edges[second], is_last)
            else:
                is_wrong = _meet(edges[first], edges[second])
            if is_wrong:
                found.append((first, second))
    return found


def _turn(one: Point, two: Point, three: Point) -> int:
    """Return 1, -1 or 0: on which side of the way from `one` to `two` the third point is, exactly."""
    (x, y), (x2, y2), (x3, y3) = one, two, three
    across, down = (x2 - x) * (y3 - y), (y2 - y) * (x3 - x)
    cross = across - down
    if abs(cross) > _ROUNDING * (abs(across) + abs(down)) + _UNDERFLOW:
        return 1 if cross > 0 else -1
    if (x == x2 or y == y3) and (y == y2 or x == x3):
        return 0
    # Times one power of two, floats are integers, without loss.
    ratios = [value.as_integer_ratio() for value in (x, y, x2, y2, x3, y3)]
    scale = max(denominator for _, denominator in ratios)
    a, b, a2, b2, a3, b3 = [numerator * (scale // denominator) for numerator, denominator in ratios]
    exact = (a2 - a) * (b3 - b) - (b2 - b) * (a3 - a)
    return (exact > 0) - (exact < 0)


def _folds_back(one: _Edge, other: _Edge, is_last: bool) -> bool:
    """Return whether two neighbouring edges lie upon each other; `is_last`: `other` is before `one`."""
    if is_last:
        one, other = other, one
    (before, corner), (_, after) = one, other
    if _turn(before, corner, after):
        return False
    axis = 0 if before[0] != corner[0] else 1
    return (before[axis] > corner[axis]) == (after[axis] > corner[axis])


def _meet(one: _Edge, other: _Edge) -> bool:
    """Return whether two edges whose bounding boxes overlap have a point in common."""
    (a, b), (c, d) = one, other
    return _turn(a, b, c) * _turn(a, b, d) <= 0 and _turn(c, d, a) * _turn(c, d, b) <= 0

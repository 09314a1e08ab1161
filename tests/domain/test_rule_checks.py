"""Rules that can never be met are rejected, with what to do and where."""

import math
from fractions import Fraction as Exact
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import rule_checks
from app.domain.analysis import AnalysisRules, Notify
from app.domain.rule_checks import RuleError, check_notify, check_rules

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1]]
YARD = {"name": "yard", "polygon": SQUARE}
TREES = {"name": "trees", "polygon": SQUARE, "ignore": True}
DOOR = {"name": "door", "from": [0, 0.5], "to": [1, 0.5]}


def rules(**fields: Any) -> AnalysisRules:
    return msgspec.convert({"tracking": {}, **fields}, AnalysisRules)


def alert(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "visitor", **fields}]


@pytest.mark.parametrize(
    ("fields", "on", "bad"),
    [
        ({}, ["object"], None),
        ({"presence": {}}, ["presence", "object"], None),
        ({"zones": [YARD], "lines": [DOOR], "alerts": alert()}, ["zone", "line", "alert"], None),
        ({}, ["object", "alert"], 1),
        ({"zones": [TREES]}, ["zone"], 0),
        ({"tracking": None, "presence": {}}, ["presence", "object"], 1),
        ({"tracking": None}, ["line"], 0),
    ],
)
def test_events_that_cannot_be_are_not_told(fields: dict[str, Any], on: list[str], bad: int | None) -> None:
    notify = msgspec.convert({"channels": ["ops"], "on": on}, Notify)
    if bad is None:
        check_notify(rules(**fields), notify)
        return
    with pytest.raises(RuleError, match=rf"no event of the kind `{on[bad]}`; (name others|leave)") as refused:
        check_notify(rules(**fields), notify)
    assert refused.value.field == f"notify.on[{bad}]"


@pytest.mark.parametrize(
    "fields",
    [
        {"tracking": None},
        {"zones": [YARD, TREES], "lines": [DOOR]},
        {"zones": [YARD], "lines": [{**DOOR, "name": "yard"}], "alerts": [{"name": "yard", "zone": "yard"}]},
        {"zones": [YARD], "alerts": alert(zone="yard", min_seconds=3)},
        {"lines": [DOOR], "alerts": alert(line="door", direction="left")},
        {"alerts": alert(labels=["person"], min_seconds=3)},
        {"tracking": None, "presence": {}, "alerts": alert()},
        {"tracking": None, "presence": {}, "zones": [TREES]},
        {"zones": [{"name": "arrow", "polygon": [[0, 0], [1, 0.5], [0, 1], [0.25, 0.5]]}]},
        {"zones": [{"name": "with a point on an edge", "polygon": [[0, 0], [0.5, 0], [1, 0], [1, 1]]}]},
    ],
)
def test_rules_that_can_be_met_are_taken(fields: dict[str, Any]) -> None:
    check_rules(rules(**fields))


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"tracking": None, "zones": [YARD]}, "zones[0]", "set `tracking` to {}"),
        ({"tracking": None, "lines": [DOOR]}, "lines[0]", "set `tracking` to {}"),
        ({"tracking": None, "zones": [TREES]}, "zones[0]", "has no effect without"),
        ({"tracking": None, "presence": {}, "zones": [TREES, YARD]}, "zones[1]", "set `tracking` to {}"),
        ({"tracking": None, "alerts": alert()}, "alerts[0]", "set `tracking` or `presence`"),
        ({"alerts": alert(zone="yard")}, "alerts[0].zone", "names no zone"),
        ({"lines": [DOOR], "alerts": alert(zone="door")}, "alerts[0].zone", "names no zone"),
        ({"alerts": alert(line="door")}, "alerts[0].line", "names no line"),
        (
            {"zones": [YARD], "lines": [DOOR], "alerts": alert(zone="yard", line="door")},
            "alerts[0].line",
            "keep one of them",
        ),
        ({"alerts": alert(direction="left")}, "alerts[0].direction", "name the `line`"),
        (
            {"zones": [YARD], "alerts": alert(zone="yard", direction="left")},
            "alerts[0].direction",
            "name the `line`",
        ),
        (
            {"lines": [DOOR], "alerts": alert(line="door", min_seconds=1)},
            "alerts[0].min_seconds",
            "leave it out",
        ),
        ({"zones": [TREES], "alerts": alert(zone="trees")}, "alerts[0].zone", "without `ignore`"),
        ({"zones": [YARD, YARD]}, "zones[1].name", "its own name"),
        ({"lines": [DOOR, DOOR]}, "lines[1].name", "its own name"),
        ({"alerts": alert() + alert()}, "alerts[1].name", "its own name"),
        ({"lines": [{**DOOR, "to": [0, 0.5]}]}, "lines[0].to", "other end"),
    ],
)
def test_rules_that_can_never_be_met_are_rejected(fields: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(RuleError) as raised:
        check_rules(rules(**fields))
    assert raised.value.field == field
    assert said in str(raised.value)
    assert f"`{field.partition('.')[0]}" in str(raised.value)


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ([[0, 0], [0.5, 0.5], [1, 1]], "no area"),
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "edges from point 0 and from point 2"),
        ([*SQUARE, [0, 0]], "same point at 4 and 0"),
        ([[0, 0], [0, 0], [1, 1]], "same point at 0 and 1"),
        ([[0, 0], [1, 0], [0.5, 0], [0.5, 1]], "edges from point 0 and from point 1"),
        ([[0.5, 0], [0.5, 1], [0, 0], [1, 0]], "edges from point 0 and from point 2"),
        ([[0, 0], [1, 0], [0.5, 1], [0.5, 0]], "crosses or touches itself"),
        ([[0.5, 0.5], [0, 0], [1, 0], [0.5, 0.5], [1, 1], [0, 1]], "crosses or touches itself"),
        ([[0, 0], [0.1, 0.1], [0.2, 0.2], [1, 0]], None),
        ([[0, 0], [0.1, 0.3], [0.3, 0.9]], None),  # almost on one line: 0.3 is not 3 times 0.1
        ([[0, 0], [1e-200, 1e-200], [1e-200, 0]], None),
        ([[0, 0], [1e-200, 1e-200], [1e-200, 0], [0, 1e-200]], "edges from point 0 and from point 2"),
        ([[0, 0], [1, 1], [0.5, 0.5], [0, 1]], "edges from point 0 and from point 1"),
        ([[0, 0], [1, 1], [0.5, 0.5000000000000001], [0, 1]], None),
    ],
)
def test_polygons_must_be_simple(polygon: list[list[float]], said: str | None) -> None:
    zones = rules(zones=[{"name": "yard", "polygon": polygon}])
    if said is None:
        check_rules(zones)
        return
    with pytest.raises(RuleError, match=said) as raised:
        check_rules(zones)
    assert raised.value.field == "zones[0].polygon"


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_few_edges_of_a_large_zone_are_compared_exactly(turn: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs of 32 zones with 64 points each would hold up the event loop for 50 ms."""
    compared = 0
    meet = rule_checks._meet

    def counted(one: Any, other: Any) -> bool:
        nonlocal compared
        compared += 1
        return meet(one, other)

    monkeypatch.setattr(rule_checks, "_meet", counted)
    ways = [turn + 2 * math.pi * number / 64 for number in range(64)]
    star = [
        (0.5 + (0.1, 0.4)[number % 2] * math.cos(way), 0.5 + (0.1, 0.4)[number % 2] * math.sin(way))
        for number, way in enumerate(ways)
    ]
    check_rules(rules(zones=[{"name": "star", "polygon": star}]))
    assert compared < 32


places = st.integers(0, 6).map(lambda value: value / 6)


@given(st.lists(st.tuples(places, places), min_size=3, max_size=7))
def test_polygons_are_judged_as_by_exact_intersections(polygon: list[tuple[float, float]]) -> None:
    try:
        check_rules(rules(zones=[{"name": "yard", "polygon": polygon}]))
    except RuleError:
        assert not is_simple(polygon)
    else:
        assert is_simple(polygon)


def is_simple(polygon: list[tuple[float, float]]) -> bool:
    """Whether edges meet only at the corners that they share, by the parameters of their intersections."""
    corners = [(Exact(x), Exact(y)) for x, y in polygon]
    edges = list(pairwise([*corners, corners[0]]))
    if any(start == end for start, end in edges):
        return False
    for first, one in enumerate(edges):
        for second in range(first + 1, len(edges)):
            shared = {second - first, len(edges) + first - second} & {1}
            if len(common(one, edges[second])) > len(shared):
                return False
    return True


def common(
    one: tuple[tuple[Exact, Exact], tuple[Exact, Exact]],
    other: tuple[tuple[Exact, Exact], tuple[Exact, Exact]],
) -> set[Exact]:
    """Where along `one` the edge `other` is met: nothing, one point, or the two ends of what both share."""
    (ax, ay), (bx, by) = one
    (cx, cy), (dx, dy) = other
    across, down = bx - ax, by - ay
    slope = across * (dy - cy) - down * (dx - cx)
    if slope:
        along = ((cx - ax) * (dy - cy) - (cy - ay) * (dx - cx)) / slope
        beside = ((cx - ax) * down - (cy - ay) * across) / slope
        return {along} if 0 <= along <= 1 and 0 <= beside <= 1 else set()
    if (cx - ax) * down != (cy - ay) * across:
        return set()
    length = across * across + down * down
    ends = sorted(((x - ax) * across + (y - ay) * down) / length for x, y in other)
    low, high = max(ends[0], Exact(0)), min(ends[1], Exact(1))
    return {low, high} if low <= high else set()

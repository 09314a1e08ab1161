"""Zones and lines agree with exact arithmetic on fractions."""

from fractions import Fraction as Exact
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.analysis.lines import MARGIN, Passage, WatchedLine
from app.analysis.zones import WatchedZone, anchors
from app.domain.analysis import Line, Zone

eighths = st.integers(0, 8).map(lambda value: value / 8)
places = st.tuples(eighths, eighths)
fine = st.floats(0, 1, allow_subnormal=False)
ExactPlace = tuple[Exact, Exact]


def turn(one: ExactPlace, two: ExactPlace, three: ExactPlace) -> Exact:
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def is_inside(polygon: list[tuple[float, float]], place: tuple[float, float]) -> bool:
    """Whether a ray in a direction that meets no corner crosses an odd number of edges; edges are inside."""
    corners = [(Exact(x), Exact(y)) for x, y in polygon]
    start = Exact(place[0]), Exact(place[1])
    edges = list(pairwise([*corners, corners[0]]))
    for one, two in edges:
        low, high = sorted((one, two))
        between = low[0] <= start[0] <= high[0] and min(one[1], two[1]) <= start[1] <= max(one[1], two[1])
        if turn(one, two, start) == 0 and between:
            return True
    slope = next(n for n in range(1, 100) if all(turn(start, far(start, n), one) for one in corners))
    end = far(start, slope)
    crossed = sum(
        turn(start, end, one) * turn(start, end, two) < 0 and turn(one, two, start) * turn(one, two, end) < 0
        for one, two in edges
    )
    return crossed % 2 == 1


def far(place: ExactPlace, slope: int) -> ExactPlace:
    return place[0] + 1000, place[1] + Exact(1000 * slope, 101)


def zone(polygon: list[tuple[float, float]]) -> WatchedZone:
    return WatchedZone(Zone("zone", tuple(polygon)))


@given(polygon=st.lists(places, min_size=3, max_size=8), place=places)
def test_a_place_is_in_a_zone_or_on_its_edge(
    polygon: list[tuple[float, float]], place: tuple[float, float]
) -> None:
    assert zone(polygon).contains(*place, place[1]) == is_inside(polygon, place)


@given(polygon=st.lists(st.tuples(fine, fine), min_size=3, max_size=8), x=fine, y=fine)
def test_a_place_that_is_not_within_rounding_of_an_edge_is_judged_exactly(
    polygon: list[tuple[float, float]], x: float, y: float
) -> None:
    place = Exact(x), Exact(y)
    corners = [(Exact(a), Exact(b)) for a, b in polygon]
    assume(all(abs(turn(one, two, place)) > 1e-12 for one, two in pairwise([*corners, corners[0]])))
    assert zone(polygon).contains(x, y, y) == is_inside(polygon, (x, y))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((100.0, 200.0, 300.0, 400.0), (0.2, 0.8, 0.6)),
        ((-100.0, -50.0, 60.0, 600.0), (0.0, 1.0, 0.55)),
        ((950.0, 0.0, 1250.0, 500.0), (1.0, 1.0, 0.5)),
    ],
)
def test_anchors_are_fractions_and_in_the_picture(
    box: tuple[float, float, float, float], expected: tuple[float, float, float]
) -> None:
    assert anchors(box, (1000, 500)) == expected


def test_zones_that_share_an_edge_both_hold_what_stands_on_it() -> None:
    halves = [
        WatchedZone(Zone("left", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))),
        WatchedZone(Zone("right", ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))),
    ]
    assert [zone.contains(0.5, 0.5, 0.4) for zone in halves] == [True, True]


@given(
    ends=st.tuples(places, places),
    way=st.lists(places, min_size=2, max_size=6),
)
def test_points_cross_a_line_when_their_way_goes_over_it(
    ends: tuple[tuple[float, float], tuple[float, float]], way: list[tuple[float, float]]
) -> None:
    """Points have no margin. The crossings are those of the way, of which none begins or ends on the line."""
    assume(ends[0] != ends[1])
    start, end = [(Exact(x), Exact(y)) for x, y in ends]
    exact = [(Exact(x), Exact(y)) for x, y in way]
    assume(all(turn(start, end, place) for place in exact))
    expected = [
        "right" if turn(start, end, two) > 0 else "left"
        for one, two in pairwise(exact)
        if turn(start, end, one) * turn(start, end, two) < 0
        and turn(one, two, start) * turn(one, two, end) <= 0
    ]
    line, passage, before, found = WatchedLine(Line("line", *ends)), Passage(), None, []
    for x, y in way:
        side = line.follow(passage, before, x, y, 0.0, 0.0)
        before = (x, y)
        found += [side] if side else []
    assert found == expected


@pytest.mark.parametrize(("ends", "axis"), [(((0.0, 0.5), (1.0, 0.5)), 1), (((0.5, 0.0), (0.5, 1.0)), 0)])
def test_the_margin_is_a_share_of_the_height_across_and_of_the_width_along(
    ends: tuple[tuple[float, float], tuple[float, float]], axis: int
) -> None:
    size = (0.1, 0.4)
    for beyond, crosses in ((0.99, False), (1.01, True)):
        line, passage = WatchedLine(Line("line", *ends)), Passage()
        before: tuple[float, float] | None = None
        sides = []
        for place in (0.2, 0.5 + beyond * MARGIN * size[axis]):
            x, y = (place, 0.5) if axis == 0 else (0.5, place)
            sides.append(line.follow(passage, before, x, y, *size))
            before = (x, y)
        assert (sides[1] is not None) == crosses


def test_who_stands_exactly_on_the_line_has_not_crossed_it_yet() -> None:
    line, passage = WatchedLine(Line("line", (0.0, 0.5), (1.0, 0.5))), Passage()
    way = [(0.5, 0.3), (0.5, 0.5), (0.5, 0.5), (0.5, 0.7), (0.5, 0.5), (0.5, 0.7)]
    sides = [
        line.follow(passage, before, x, y, 0.0, 0.0)
        for before, (x, y) in zip([None, *way], way, strict=False)
    ]
    assert sides == [None, None, None, "right", None, None]

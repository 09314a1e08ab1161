"""Zones: which places of the picture are in which polygon."""

from bisect import bisect_left
from itertools import pairwise

from ..domain.analysis import Zone
from ..domain.prediction import Box

_Edge = tuple[float, float, float, float, bool]
"""Where it begins (x, y), how far it goes across and down, and whether that is downwards."""


class WatchedZone:
    """A zone, ready to be asked whether boxes stand in it. Its edges belong to it."""

    def __init__(self, zone: Zone) -> None:
        self.name = zone.name
        self._is_at_bottom = zone.anchor == "bottom"
        corners = zone.polygon
        across, down = [x for x, _ in corners], [y for _, y in corners]
        self.left, self.right = min(across), max(across)
        self._top, self._bottom = min(down), max(down)
        self._edges = [(*start, *end) for start, end in zip(corners, [*corners[1:], corners[0]], strict=True)]
        self._heights = sorted(set(down))
        # By the number of a height: the edges from there, or below, to the height before, or above.
        self._crossed: list[list[_Edge]] = [[]]
        for above, below in pairwise(self._heights):
            self._crossed.append(
                [
                    (x1, y1, x2 - x1, y2 - y1, y2 > y1)
                    for x1, y1, x2, y2 in self._edges
                    if min(y1, y2) <= above and below <= max(y1, y2)
                ]
            )

    def contains(self, x: float, bottom: float, middle: float) -> bool:
        """Return whether a box is in the zone; for the arguments see `anchors`.

        A ray from the box's anchor crosses the edges an odd number of times then, or begins on one.
        """
        if x < self.left or x > self.right:
            return False
        y = bottom if self._is_at_bottom else middle
        if y < self._top or y > self._bottom:
            return False
        place = bisect_left(self._heights, y)
        if self._heights[place] == y:
            return self._contains_at_corner(x, y)
        is_inside = False
        for x1, y1, across, down, is_downward in self._crossed[place]:
            cross = across * (y - y1) - (x - x1) * down
            if cross == 0.0:
                return True
            if (cross > 0.0) == is_downward:
                is_inside = not is_inside
        return is_inside

    def _contains_at_corner(self, x: float, y: float) -> bool:
        """Return whether a place at the height of a corner is in the zone."""
        is_inside = False
        for x1, y1, x2, y2 in self._edges:
            if (y1 > y) != (y2 > y):
                cross = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)
                if cross == 0.0:
                    return True
                if (cross > 0.0) == (y2 > y1):
                    is_inside = not is_inside
            elif y1 == y and (x1 == x or (y2 == y and (x1 > x) != (x2 > x))):
                return True
        return is_inside


def anchors(box: Box, size: tuple[int, int]) -> tuple[float, float, float]:
    """Return the box's middle from left to right, its lower edge, and its middle from top to bottom.

    They are fractions of the picture. What lies outside of the picture is taken to be at its edge.
    """
    (x1, y1, x2, y2), (width, height) = box, size
    x, bottom, middle = 0.5 * (x1 + x2) / width, y2 / height, 0.5 * (y1 + y2) / height
    if x1 >= 0.0 and x2 <= width and y1 >= 0.0 and y2 <= height:  # nearly always, and faster
        return x, bottom, middle
    return min(max(x, 0.0), 1.0), min(max(bottom, 0.0), 1.0), min(max(middle, 0.0), 1.0)

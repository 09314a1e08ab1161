"""Zones: which places of the picture are in which polygon."""

from collections.abc import Sequence

from ..domain.analysis import Point, Zone
from ..domain.prediction import Box


class Area:
    """What a polygon encloses, its edges included. Places are fractions of the picture."""

    def __init__(self, polygon: Sequence[Point]) -> None:
        across, down = [x for x, _ in polygon], [y for _, y in polygon]
        self._left, self._right = min(across), max(across)
        self._top, self._bottom = min(down), max(down)
        self._edges = [(*start, *end) for start, end in zip(polygon, [*polygon[1:], polygon[0]], strict=True)]

    def contains(self, x: float, y: float) -> bool:
        """Return whether a ray from the place crosses the edges an odd number of times, or begins on one."""
        if x < self._left or x > self._right or y < self._top or y > self._bottom:
            return False
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


class WatchedZone:
    """A zone, ready to be asked whether boxes stand in it."""

    def __init__(self, zone: Zone) -> None:
        self.name = zone.name
        self._area = Area(zone.polygon)
        self._is_at_bottom = zone.anchor == "bottom"

    def contains(self, x: float, bottom: float, middle: float) -> bool:
        """Return whether a box is in the zone; for the arguments see `anchors`."""
        return self._area.contains(x, bottom if self._is_at_bottom else middle)


def anchors(box: Box, size: tuple[int, int]) -> tuple[float, float, float]:
    """Return the box's middle from left to right, its lower edge, and its middle from top to bottom.

    They are fractions of the picture. What lies outside of the picture is taken to be at its edge.
    """
    (x1, y1, x2, y2), (width, height) = box, size
    x, bottom, middle = 0.5 * (x1 + x2) / width, y2 / height, 0.5 * (y1 + y2) / height
    return min(max(x, 0.0), 1.0), min(max(bottom, 0.0), 1.0), min(max(middle, 0.0), 1.0)

"""Lines: when an object has crossed one, and to which side."""

from msgspec import Struct

from ..domain.analysis import Line, Point, Side

MARGIN = 0.15
"""How far from a line an object is clearly on one side: in widths of its box across, heights down.

Boxes jitter by a few hundredths of their size, so an object that stands on a line crosses it once at most.
"""


class Passage(Struct, array_like=True):
    """How one object passes one line.

    `clear_side` is the last side on which it clearly was, `last_side` the one of its last place: -1 left, 1
    right, 0 not yet known. `is_through`: its way went over the line, and not past its ends.
    """

    clear_side: int = 0
    last_side: int = 0
    is_through: bool = False


class WatchedLine:
    """A line, ready to be asked whether objects cross it."""

    def __init__(self, line: Line) -> None:
        self.name = line.name
        (self.x, self.y), (end_x, end_y) = line.start, line.end
        self._end_x, self._end_y = end_x, end_y
        self.across, self.down = end_x - self.x, end_y - self.y
        self._wide, self._high = MARGIN * abs(self.down), MARGIN * abs(self.across)

    def follow(
        self, passage: Passage, before: Point | None, x: float, y: float, width: float, height: float
    ) -> Side | None:
        """Take the object's next place, and width and height of its box, as fractions of the picture.

        Returns the side to which it has crossed the line, if it is clearly there now, was clearly on the
        other side before, and its straight way between two places went over the line.
        """
        cross = self.across * (y - self.y) - self.down * (x - self.x)
        side = (cross > 0.0) - (cross < 0.0)
        if side == 0:
            return None
        if side == -passage.last_side and before is not None:
            passage.is_through = self._is_between_ends(before, x, y)
        passage.last_side = side
        if abs(cross) < self._wide * width + self._high * height or side == passage.clear_side:
            return None
        has_crossed = passage.clear_side != 0 and passage.is_through
        passage.clear_side = side
        if not has_crossed:
            return None
        return "right" if side > 0 else "left"

    def _is_between_ends(self, before: Point, x: float, y: float) -> bool:
        """Return whether the ends of the line are on different sides of the way from `before` to x, y."""
        from_x, from_y = before
        across, down = x - from_x, y - from_y
        start = across * (self.y - from_y) - down * (self.x - from_x)
        end = across * (self._end_y - from_y) - down * (self._end_x - from_x)
        return (start >= 0.0 and end <= 0.0) or (start <= 0.0 and end >= 0.0)

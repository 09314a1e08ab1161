"""Assign rows to columns at the least total cost, exactly, when most pairs are impossible.

Shortest augmenting paths with prices (Jonker and Volgenant's method) over the possible pairs only. A path
ends as soon as a row may stay alone for less, so it seldom leaves a row's neighbourhood.
"""

from collections.abc import Sequence
from heapq import heappop, heappush

Choice = tuple[int, float]
"""A column, and what it costs."""


def assign(rows: Sequence[Sequence[Choice]], alone: float) -> list[int | None]:
    """Return the column of each row, or None if it stays alone, at the least sum of costs.

    A row that stays alone costs `alone`, a column that does so nothing. Costs may be negative. Of several
    best assignments, the same one is returned each time.
    """
    assignment = _Assignment(rows, alone)
    for row in range(len(rows)):
        assignment.add(row)
    return assignment.column_of


class _Assignment:
    """The best assignment of the rows that were added so far.

    A column's price is what its row pays for it besides the cost, so that no row would rather have another.
    """

    def __init__(self, rows: Sequence[Sequence[Choice]], alone: float) -> None:
        self.column_of: list[int | None] = [None] * len(rows)
        self._rows = rows
        self._alone = alone
        self._row_of: dict[int, int] = {}
        self._paid = [0.0] * len(rows)
        self._prices: dict[int, float] = {}

    def _take_cheapest(self, new: int) -> bool:
        """Give the new row its cheapest column if no row has it; return whether that settles the row.

        The search does the same as long as no column has a price, which is so in most frames, but it takes
        ten times as long.
        """
        least, cheapest = self._alone, -1
        for column, cost in self._rows[new]:
            if cost < least or (cost == least and column < cheapest):
                least, cheapest = cost, column
        if cheapest in self._row_of:
            return False
        if cheapest >= 0:
            self._row_of[cheapest], self.column_of[new], self._paid[new] = new, cheapest, least
        return True

    def add(self, new: int) -> None:
        """Search the cheapest chain of changes from the new row to a free column, or to a row left alone."""
        if not self._prices and self._take_cheapest(new):
            return
        reached: dict[int, float] = {}
        came_from: dict[int, int] = {}
        settled: set[int] = set()
        heap: list[tuple[float, int]] = []
        cheapest, left_alone, free = self._alone, new, None
        row, base = new, 0.0
        while free is None:
            for column, cost in self._rows[row]:
                if column in settled:  # rounding may make it cheaper by a digit, and the chain a circle
                    continue
                total = base + cost + self._prices.get(column, 0.0)
                if total < reached.get(column, cheapest):
                    reached[column] = total
                    came_from[column] = row
                    heappush(heap, (total, column))
            total, column = heappop(heap) if heap else (cheapest, -1)
            while column in settled:
                total, column = heappop(heap) if heap else (cheapest, -1)
            if total >= cheapest:
                break
            settled.add(column)
            if column not in self._row_of:
                cheapest, free = total, column
                break
            row = self._row_of[column]
            base = total - self._paid[row] - self._prices.get(column, 0.0)
            if base + self._alone < cheapest:
                cheapest, left_alone = base + self._alone, row
        for column in settled:
            if reached[column] < cheapest:
                self._prices[column] = self._prices.get(column, 0.0) + cheapest - reached[column]
        if free is None:
            free, self.column_of[left_alone] = self.column_of[left_alone], None
        while free is not None:
            row = came_from[free]
            self._row_of[free] = row
            self._paid[row] = next(cost for column, cost in self._rows[row] if column == free)
            free, self.column_of[row] = self.column_of[row], free
            if row == new:
                break

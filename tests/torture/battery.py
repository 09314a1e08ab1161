"""What the battery's tests share: how large each of them is, and one table of what came out.

Each row of the table is a test (`passed`) whose verifier reads the databases or the ground truth, never the
service's own counters, and a test that the same verifier finds the damage once the guard is taken out
(`unguarded`). With VA_TEST_LONG=1 (`make torture`) everything is tried at full length; otherwise the tests
that are marked `long` are left out.
"""

import os
from dataclasses import dataclass

LONG = os.environ.get("VA_TEST_LONG") == "1"


def size(short: int, long: int) -> int:
    """How often, or how long: `long` where the battery runs at full length."""
    return long if LONG else short


@dataclass(frozen=True)
class Line:
    """One thing that was tried, or one guard that was taken out."""

    row: int
    what: str
    tried: str
    outcome: str


class Battery:
    """The lines of a test session's table."""

    def __init__(self) -> None:
        self._lines: list[Line] = []

    def passed(self, row: int, what: str, tried: str, lost: str) -> None:
        """Row `row`: what was tried, how often, what was lost (with the figures: "0 of 7,200 frames")."""
        self._lines.append(Line(row, what, tried, lost))

    def unguarded(self, row: int, guard: str, tried: str, seen: str) -> None:
        """Row `row` without its guard: what the verifier then saw."""
        self._lines.append(Line(row, f"… without {guard}", tried, seen))

    def table(self) -> list[str]:
        """Markdown, ordered by row; nothing where nothing was tried."""
        if not self._lines:
            return []
        head = ["| # | what | tried | lost |", "|---|---|---|---|"]
        lines = sorted(self._lines, key=lambda line: (line.row, line.what.startswith("…")))
        return head + [f"| {line.row} | {line.what} | {line.tried} | {line.outcome} |" for line in lines]


BATTERY = Battery()

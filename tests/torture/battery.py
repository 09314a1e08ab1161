"""What the battery's tests share: how much each of them does, and one table of their results.

Each row of the table is a test (`passed`) whose verifier reads the databases or knows the truth, never the
service's own counters, and a test that the same verifier finds the damage if the guard is taken out
(`unguarded`). With VA_TEST_LONG=1 (`make torture`) everything runs at full length; otherwise the tests that
are marked `long` are left out.
"""

import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

LONG = os.environ.get("VA_TEST_LONG") == "1"
_PROPERTY = "battery"


def size(short: int, long: int) -> int:
    """Return how often, or for how long: `long` if the battery runs at full length."""
    return long if LONG else short


@dataclass(frozen=True)
class Line:
    """One thing that was tried, or one guard that was taken out."""

    row: int
    what: str
    tried: str
    outcome: str


class Battery:
    """Adds lines to the table, in the test's report, because tests may run in several processes."""

    def __init__(self, properties: list[tuple[str, object]]) -> None:
        self._properties = properties

    def passed(self, row: int, what: str, tried: str, lost: str) -> None:
        """Row `row`: what was tried, how often, what was lost (with the figures: "0 of 7,200 frames")."""
        self._add(Line(row, what, tried, lost))

    def unguarded(self, row: int, guard: str, tried: str, seen: str) -> None:
        """Row `row` without its guard: what the verifier then saw."""
        self._add(Line(row, f"… without {guard}", tried, seen))

    def _add(self, line: Line) -> None:
        self._properties.append((_PROPERTY, astuple(line)))


def table(properties: Iterable[tuple[str, Any]]) -> list[str]:
    """Return the tests' lines as Markdown, ordered by row; nothing if there are none."""
    lines = [Line(*value) for name, value in properties if name == _PROPERTY]
    if not lines:
        return []
    lines.sort(key=lambda line: (line.row, line.what.startswith("…")))
    return [
        "| # | what | tried | lost |",
        "|---|---|---|---|",
        *(f"| {line.row} | {line.what} | {line.tried} | {line.outcome} |" for line in lines),
    ]

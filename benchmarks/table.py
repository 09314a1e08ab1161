"""Results as ratios, because machines differ, and one machine differs from minute to minute.

Each benchmark alternates between a measurement and a reference, and takes the medians of both.
"""

import argparse
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from inspect import isawaitable
from pathlib import Path
from statistics import median
from typing import Literal

import anyio
import msgspec
from msgspec import Struct

from tools.kafka import KafkaToolError


class Goal(Struct, frozen=True):
    """The goal for the ratio: at least or at most `ratio`; `plus` is in the row's unit.

    With a ratio of 0, the goal is `plus` itself.
    """

    kind: Literal["≥", "≤"]
    ratio: float
    plus: float = 0.0

    def __str__(self) -> str:
        if self.ratio == 0.0:
            return f"{self.kind} {self.plus:g}"
        return f"{self.kind} {self.ratio:.3g}" + (f" + {self.plus:g}" if self.plus else "")


class Row(Struct, frozen=True):
    """One measurement and its reference. `number` is its row in docs/performance.md, or empty."""

    number: str
    name: str
    unit: str
    measured: float
    reference: float
    goal: Goal | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.measured / self.reference

    @property
    def verdict(self) -> str:
        """Return whether the goal is met; empty if there is none."""
        if self.goal is None:
            return ""
        bound = self.goal.ratio * self.reference + self.goal.plus
        met = self.measured <= bound if self.goal.kind == "≤" else self.measured >= bound
        return "met" if met else "missed"


Measure = Callable[..., Iterable[Row] | Awaitable[Iterable[Row]]]
"""Takes the number of alternations, and by name what `command` was given as options."""


def at_least(ratio: float) -> Goal:
    return Goal("≥", ratio)


def at_most(ratio: float, plus: float = 0.0) -> Goal:
    return Goal("≤", ratio, plus)


async def alternate(rounds: int, *works: Callable[[], float | Awaitable[float]]) -> list[float]:
    """Run each work once per round; return the median result of each."""
    results: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, values in zip(works, results, strict=True):
            value = work()
            values.append(await value if isawaitable(value) else value)
    return [median(values) for values in results]


def show(rows: Sequence[Row]) -> None:
    """Print a table to standard output."""
    print(
        f"{'#':4}{'':58}{'measured':>11}{'reference':>11}  {'unit':13}{'ratio':>7}  {'goal':10}", flush=True
    )
    for row in rows:
        goal = f"{row.goal} {row.verdict}" if row.goal else ""
        print(
            f"{row.number:4}{row.name:58}{row.measured:11.4g}{row.reference:11.4g}  {row.unit:13}"
            f"{row.ratio:7.3g}  {goal}"
        )
        if row.note:
            print(f"{'':4}  {row.note}")


def command(description: str | None, measure: Measure, rounds: int = 3, **others: float) -> None:
    """Do what `python -m benchmarks.<name>` does: measure, print a table, write it to the file of --json.

    `others`: further options and their defaults.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="alternations (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    for name, default in others.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help="default: %(default)s")
    options = parser.parse_args()
    given = {name: getattr(options, name) for name in others}
    try:
        rows = list(anyio.run(partial(_measured, partial(measure, **given), options.rounds)))
    except KafkaToolError as reason:  # no Java, for example
        sys.exit(str(reason))
    show(rows)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))


async def _measured(measure: Measure, rounds: int) -> Iterable[Row]:
    rows = measure(rounds)
    return await rows if isawaitable(rows) else rows

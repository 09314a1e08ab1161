"""Prints results as ratios: machines differ, and so does one machine from minute to minute."""

from collections.abc import Iterable

from msgspec import Struct


class Row(Struct, frozen=True):
    """One measurement and its reference, medians of the same alternations."""

    name: str
    unit: str
    measured: float
    reference: float

    @property
    def ratio(self) -> float:
        return self.measured / self.reference


def show(title: str, rows: Iterable[Row]) -> None:
    """Print a table to standard output."""
    print(f"\n{title}")
    print(f"{'':44}{'measured':>12}{'reference':>12}  {'unit':10}{'ratio':>7}")
    for row in rows:
        print(f"{row.name:44}{row.measured:12.2f}{row.reference:12.2f}  {row.unit:10}{row.ratio:7.2f}")

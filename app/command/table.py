"""Tables of a terminal's width."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2  # characters between two columns
_READABLE = 10  # characters of a line of a cell that is folded
_SHORT_ID = 8


def print_aligned(columns: Sequence[str], rows: list[list[str]], droppable: Sequence[str]) -> None:
    """Print a table that fits into the terminal, without text of one or two characters a line.

    If it is too wide, ids are shortened first, then columns are left out as `droppable` lists them. If it
    still is too wide, the terminal breaks the lines.
    """
    console = Console(highlight=False)
    shown, cells = list(columns), rows
    if _is_too_wide(shown, cells, console.width) and shown[0] == "ID":
        cells = [[f"{row[0][:_SHORT_ID]}…", *row[1:]] for row in cells]
    for name in droppable:
        if _is_too_wide(shown, cells, console.width):
            place = shown.index(name)
            shown, *cells = ([*row[:place], *row[place + 1 :]] for row in (shown, *cells))
    least, most = _widths(shown, cells)
    widths = _filled(least, most, console.width - _GAP * (len(shown) - 1))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in zip(shown, widths, strict=True):
        table.add_column(column, width=width, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    console.width = max(console.width, sum(widths) + _GAP * (len(shown) - 1))
    console.print(table, soft_wrap=False)


def _widths(columns: list[str], rows: list[list[str]]) -> tuple[list[int], list[int]]:
    """Return the fewest characters in which each column can be read, and as many as it needs."""
    most = [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]
    least = [min(most[n], max(cell_len(columns[n]), _READABLE)) for n in range(len(columns))]
    if columns[0] == "ID":  # it is copied, so it is in one piece
        least[0] = most[0]
    return least, most


def _is_too_wide(columns: list[str], rows: list[list[str]], width: int) -> bool:
    least, _ = _widths(columns, rows)
    return sum(least) + _GAP * (len(columns) - 1) > width


def _filled(least: list[int], most: list[int], width: int) -> list[int]:
    """Return widths of columns: what is left of `width` goes to those that are narrowest and need more."""
    widths = list(least)
    while sum(widths) < width and (growing := [n for n in range(len(widths)) if widths[n] < most[n]]):
        widths[min(growing, key=lambda n: widths[n])] += 1
    return widths

"""What sub-commands print: tables, JSON, and errors of one sentence."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import rich_click as click
from rich.console import Console
from rich.text import Text

from .table import print_aligned

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, and lists as JSON Lines.")
"""The option `--json`, which every sub-command has: it is given as `as_json`."""


class CommandError(Exception):
    """A sub-command cannot go on. The text is a sentence that says why and what to do.

    `exit_code` is one of those in EXIT_CODES. Without a text, nobody is told.
    """

    def __init__(self, sentence: str, exit_code: int = 1) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def not_utf_8(error: UnicodeEncodeError) -> CommandError:
    """Return the error for an argument that is no text."""
    return CommandError(f"{error.object!r} is not in UTF-8: give it another name.", 2)


def not_written(error: OSError) -> CommandError:
    """Return the error for output that cannot be written; one without a text if nobody reads more of it."""
    if isinstance(error, BrokenPipeError):  # as `head` does, which has read enough
        return CommandError("", 0)
    return CommandError(f"The output cannot be written: {(error.strerror or str(error)).lower()}.")


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that shows text as it is: colours on a terminal only, none if NO_COLOR is set."""
    return Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def is_terminal() -> bool:
    """Return whether a person reads what is printed."""
    return sys.stdout.isatty()


def printable(value: object) -> str:
    r"""Return a value's text, in which what could drive a terminal or reorder text is escaped: \x1b."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value))


def readable(name: str) -> str:
    """Return the name of a file as text, also if it is not in UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def print_line(value: object) -> None:
    """Print one line. None of its text drives the terminal."""
    click.echo(printable(value))


def print_error(sentence: str) -> None:
    """Print an error, in red on a terminal. Line breaks in it stay."""
    text = "\n".join(printable(line) for line in sentence.rstrip("\n").split("\n"))
    make_console(stderr=True).print(Text.assemble(("Error: ", "bold red"), text))


def print_json(value: Any) -> None:
    """Print a value that msgspec can encode as one line of JSON."""
    text = msgspec.json.encode(value).decode()
    if not (text.isprintable() and _can_be_written(text)):
        text = "".join(c if c.isprintable() and _can_be_written(c) else _json_escape(c) for c in text)
    click.echo(text)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, droppable: Sequence[str] = ()
) -> None:
    """Print rows: as a table on a terminal; otherwise with tabs between the cells, and nothing cut off.

    `droppable`: columns that a narrow terminal does not show, the least important first.
    """
    cells = [[printable("" if cell is None else cell) for cell in row] for row in rows]
    if is_terminal():
        print_aligned(columns, cells, droppable)
        return
    click.echo("\t".join(columns))
    for row in cells:
        click.echo("\t".join(row))


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line. Pairs without a value are left out."""
    shown = [(name, printable(value)) for name, value in fields if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        make_console().print(Text.assemble((f"{name:{width}}", "bold"), "  ", value))


def _can_be_written(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # of a terminal that is not UTF-8
        return False
    return True


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))

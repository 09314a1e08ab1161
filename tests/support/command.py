"""The command `videoanalysis`, as a user calls it in a folder."""

import os
from pathlib import Path
from typing import NamedTuple

from tests.support.forked import ForkedProcess

_LONGEST = 150.0  # seconds


class CommandResult(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    output: str
    errors: str


def run_command(folder: Path, *arguments: str | Path, **variables: str) -> CommandResult:
    """Run the command in a folder, with its output not on a terminal. Each keyword sets VA_<NAME>."""
    printed, errors = folder / ".stdout", folder / ".stderr"
    for file in (printed, errors):
        file.write_text("")
    process = ForkedProcess(
        list(map(str, arguments)),
        folder,
        command_environment(**variables),
        printed,
        main="app.command.main",
        errors=errors,
    )
    try:
        code = process.wait(_LONGEST)
    finally:
        process.kill()
    return CommandResult(code, printed.read_text(), errors.read_text())


def command_environment(**variables: str) -> dict[str, str]:
    """Return the environment of the tests, without their settings but with these."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("VA_")}
    return kept | {f"VA_{name.upper()}": text for name, text in variables.items()}

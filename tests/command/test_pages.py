"""What pages and help say of the command is so."""

import re
import shlex
from collections.abc import Iterator

import pytest
import rich_click as click

from app.command.main import COMMANDS, EXIT_CODES, load, videoanalysis
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "command.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> Iterator[tuple[str, click.Command]]:
    """Return every command with its full name, groups and what is in them."""
    for name in COMMANDS:
        command = load(name)
        yield name, command
        if isinstance(command, click.Group):
            for part in command.commands.values():
                yield f"{name} {part.name}", part


def examples() -> Iterator[str]:
    """Return the command lines in the pages and in the help, without what they are piped into."""
    lines = [line for page in PAGES for line in page.read_text().splitlines()]
    lines += [line for _, command in commands() for line in (command.help or "").splitlines()]
    for line in lines:
        for part in re.split(r"\|\|?|&&|  #|\$\(|; ", line.strip()):
            if re.match(r"(\$ )?videoanalysis [a-z]", part.strip()):
                yield part.strip().removeprefix("$ ").partition(")")[0]


def test_the_page_lists_every_command_and_exit_code() -> None:
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", PAGE.read_text(), re.MULTILINE))
    for name, entry in COMMANDS.items():
        assert rows[f"`{name}`"] == entry.summary
    for code, meaning in EXIT_CODES.items():
        assert rows[str(code)] == meaning


@pytest.mark.parametrize("line", sorted(set(examples())))
def test_an_example_is_a_command_line_that_is_understood(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command: click.Command = load(name)
    with videoanalysis.make_context("videoanalysis", [name], resilient_parsing=True) as context:
        if isinstance(command, click.Group):
            command = command.commands[arguments.pop(0)]
        command.make_context(name, arguments, parent=context)


def test_every_option_is_explained_and_every_command_has_json() -> None:
    for name, command in commands():
        options = [each for each in command.params if isinstance(each, click.Option)]
        assert all(option.help for option in options), name
        if not isinstance(command, click.Group) and name != "run":  # which writes its log
            assert "--json" in {flag for option in options for flag in option.opts}, name

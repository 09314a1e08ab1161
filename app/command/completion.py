"""What a shell completes: names and ids of what the service has."""

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice

import rich_click as click
from click.shell_completion import CompletionItem

from ..client import Client, ClientError

_TIMEOUT = 1.0  # seconds, because somebody has pressed Tab and waits
_MOST = 100  # that a shell offers

Lister = Callable[[Client, str], Iterable[tuple[str, str]]]
"""Returns pairs of what may be written and a help for it, given what is written so far."""


Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete(lister: Lister) -> Completer:
    """Return the `shell_complete` of an argument: nothing if the service does not answer in time."""

    def items(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = context.params.get(parameter.name or "")
        taken = set(given) if isinstance(given, tuple) else set()
        offered = dict[str, str]()
        with (
            suppress(ClientError, OSError),
            Client(context.params.get("url"), timeout=_TIMEOUT, retries=0) as client,
        ):
            for value, text in lister(client, incomplete):
                # What drives a terminal does not belong there, and a shell takes a line for each item.
                is_fit = value.isprintable() and not value.startswith("-")  # which would be an option
                if is_fit and value.startswith(incomplete) and value not in taken:
                    offered.setdefault(value, text if text.isprintable() else "")
        write = _WRITERS.get(os.environ.get(_SHELL, ""), str)
        written = ((write(value), text) for value, text in islice(offered.items(), _MOST))
        return [CompletionItem(value, help=text) for value, text in written if value]

    return items


def _for_bash(value: str) -> str:
    """Escape a value, because bash puts it into the line as it is; other shells escape it themselves.

    Nothing is returned for one that cannot stand within the quotation marks that were opened. The script for
    bash reads the value with `read`, which takes a backslash for itself.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")
    at = int(os.environ.get("COMP_CWORD", "0"))
    quote = words[at][:1] if at < len(words) else ""
    if quote in _UNQUOTABLE:
        written = "" if _UNQUOTABLE[quote] & set(value) else value
    else:
        written = re.sub(r"([^\w@%+:,./-])", r"\\\1", value)
    return written.replace("\\", "\\\\")


def _for_fish(value: str) -> str:
    """Return nothing for a value with a comma, at which the script for fish would cut it."""
    return "" if "," in value else value


_UNQUOTABLE = {"'": set("'"), '"': set('"$`\\!')}
"""What bash does not take as it is within these quotation marks: a name there could be a command."""

_SHELL = "_VIDEOANALYSIS_COMPLETE"
_WRITERS = {"bash_complete": _for_bash, "fish_complete": _for_fish}


def _scenarios(client: Client, incomplete: str) -> Iterable[tuple[str, str]]:
    page = client.scenarios.list(text=incomplete or None, limit=_MOST)
    named = list(islice(page, _MOST))
    yield from ((each.name, each.source) for each in named if each.name)
    if not incomplete or _is_hexadecimal(incomplete):
        newest = named if not incomplete else islice(client.scenarios.list(limit=_MOST), _MOST)
        yield from ((each.id, each.name or each.source) for each in newest)


def _batches(client: Client, incomplete: str) -> Iterable[tuple[str, str]]:
    newest = list(islice(client.batches.list(), _MOST))
    yield from ((each.name, each.sources) for each in newest if each.name)
    if not incomplete or _is_hexadecimal(incomplete):
        yield from ((each.id, each.name or each.sources) for each in newest)


def _channels(client: Client, _incomplete: str) -> Iterable[tuple[str, str]]:
    return ((each.name, each.type) for each in client.channels.list())


def _models(client: Client, _incomplete: str) -> Iterable[tuple[str, str]]:
    return ((each.name, "") for each in client.models.list())


def _is_hexadecimal(text: str) -> bool:
    return all(each in "0123456789abcdef-" for each in text)


SCENARIOS = complete(_scenarios)
BATCHES = complete(_batches)
CHANNELS = complete(_channels)
MODELS = complete(_models)

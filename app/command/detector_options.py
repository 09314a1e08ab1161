"""The option `--option`: options of a detector, as text."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import rich_click as click

detector_option = click.option(
    "-O",
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the detector, or several as a JSON object.",
)
"""The option `--option`, which is given as `options`."""


class OptionError(Exception):
    """A text is no option. The message is a sentence that says what to do."""


def read_options(texts: Sequence[str], lists: Collection[str] = ()) -> dict[str, Any]:
    """Return the options of a detector: each text is `name=value`, or an object of JSON.

    A value is JSON, or else text. `lists` are the options of which commas separate the items. Raises
    OptionError.
    """
    options: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                options |= msgspec.json.decode(text, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise OptionError(f"The option {text!r} is not valid JSON: {error}.") from error
            continue
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise OptionError(f"The option {text!r} has no value: write it as confidence=0.6.")
        holder = options
        *outer, name = key.split(".")
        for each in outer:
            holder = holder.setdefault(each, {})
            if not isinstance(holder, dict):
                raise OptionError(f"The option {text!r} contradicts another one: give {each!r} once.")
        holder[name] = _value(value, is_list=not outer and name in lists)
    return options


def _value(text: str, *, is_list: bool) -> object:
    try:
        value: object = msgspec.json.decode(text)
    except msgspec.DecodeError:
        value = [part.strip() for part in text.split(",")] if is_list else text
    return [value] if is_list and not isinstance(value, list) else value

"""The commands and files of a recipe in docs/recipes."""

import re
import shlex
from textwrap import dedent

from tests.support.paths import ROOT


def commands_of(recipe: str) -> list[list[str]]:
    """Return the arguments of each command `videoanalysis` in a recipe, in their order."""
    script = "\n".join(blocks_of(recipe, "sh")).replace("\\\n", " ")
    commands = [shlex.split(line, comments=True) for line in script.splitlines()]
    return [arguments for name, *arguments in filter(None, commands) if name == "videoanalysis"]


def blocks_of(recipe: str, language: str) -> list[str]:
    """Return the blocks of a recipe that are in this language, also those in lists."""
    page = (ROOT / "docs" / "recipes" / f"{recipe}.md").read_text()
    blocks = re.findall(rf"^ *```{language}\n(.+?)^ *```", page, re.DOTALL | re.MULTILINE)
    return [dedent(block) for block in blocks]

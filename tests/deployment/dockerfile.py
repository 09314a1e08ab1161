"""Parse the Dockerfile far enough to run its instructions."""

import json
import shlex
from typing import Any

from msgspec import Struct

from tests.support.paths import ROOT


class Instruction(Struct, frozen=True):
    """One instruction, its lines joined."""

    name: str
    arguments: str


def stages() -> list[list[Instruction]]:
    """The instructions of each stage, each beginning with its FROM."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    parsed: list[list[Instruction]] = []
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        name, _, arguments = line.strip().partition(" ")
        if name == "FROM":
            parsed.append([])
        if name:
            parsed[-1].append(Instruction(name, arguments.strip()))
    return parsed


def the(name: str) -> str:
    """The arguments of the only instruction of that name in the last stage."""
    (arguments,) = (each.arguments for each in stages()[-1] if each.name == name)
    return arguments


def entry_point() -> list[str]:
    """Return the program that a container runs. Raises ValueError if it is not in exec form."""
    return _exec_form(the("ENTRYPOINT"))


def health_check() -> list[str]:
    """Return the program that checks a container's health. Raises ValueError if it is not in exec form."""
    return _exec_form(the("HEALTHCHECK").partition("CMD ")[2])


def environment() -> dict[str, str]:
    """The variables that the image sets."""
    return dict(word.split("=", 1) for word in shlex.split(the("ENV")))


def _exec_form(text: str) -> list[str]:
    program: Any = json.loads(text)
    return [str(word) for word in program]

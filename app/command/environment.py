"""The settings of the service that a sub-command starts or checks."""

import os
from pathlib import Path

import rich_click as click

from ..settings import Settings, SettingsError, load
from .output import CommandError

_DEFAULT = Path(".env")

env_file_option = click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    default=_DEFAULT,
    show_default=True,
    metavar="FILE",
    help="A file with settings. Variables of the environment win.",
)
"""The option `--env-file`."""


def read_settings(env_file: Path) -> Settings:
    """Return the settings of the environment and of a file. Raises CommandError if one is wrong."""
    if env_file != _DEFAULT and not env_file.is_file():
        raise CommandError(f"There is no file {str(env_file)!r}.", exit_code=2)
    try:
        return load(os.environ, env_file)
    except SettingsError as error:
        raise CommandError(f"{error}.") from error

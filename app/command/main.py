"""The command `videoanalysis` and its list of sub-commands, each of which is loaded when it is called."""

import sys
from importlib import import_module
from typing import NamedTuple, NoReturn

import rich_click as click

from .. import __version__
from .output import CommandError, print_error
from .streams import prepare_streams


class SubCommand(NamedTuple):
    """A sub-command: the module of this package that has it, under its own name, and its line in the help."""

    module: str
    summary: str


COMMANDS: dict[str, SubCommand] = {
    "run": SubCommand("run", "Start the service, with its pages, and run it until Ctrl-C."),
    "analyze": SubCommand("analyze", "Analyse files without a service."),
    "submit": SubCommand("submit", "Create a scenario and start it."),
    "watch": SubCommand("watch", "Follow a scenario until it has ended."),
    "ls": SubCommand("ls", "List scenarios, newest first."),
    "show": SubCommand("show", "Show one scenario."),
    "events": SubCommand("events", "List what happened in the videos."),
    "export": SubCommand("export", "Write predictions or events to a file."),
    "stop": SubCommand("lifecycle", "Stop scenarios."),
    "start": SubCommand("lifecycle", "Start scenarios again, after their last stored frames."),
    "rm": SubCommand("lifecycle", "Delete scenarios with all that they stored."),
    "batches": SubCommand("batches", "Analyse folders of recordings."),
    "models": SubCommand("models", "List the models of the service, and try them."),
    "channels": SubCommand("channels", "List the channels for notifications, and test them."),
    "doctor": SubCommand("doctor", "Check what the service of this folder needs."),
}
"""In the order of the help. `summary` is the first sentence of the sub-command's docstring."""

EXIT_CODES = {
    0: "done",
    1: "it failed, or the service refused it",
    2: "wrong usage",
    3: "the service was not reached",
    4: "`watch`: it was stopped before its end, or has not ended within `--timeout`",
    130: "interrupted by Ctrl-C",
}
"""What the exit codes of every sub-command mean."""


class LazyGroup(click.RichGroup):
    """A group that imports a sub-command only when it is called, so that its own help is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return what the list of sub-commands shows of this one."""
        entry = COMMANDS.get(cmd_name)
        return click.Command(cmd_name, short_help=entry.summary) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Load the sub-command that was named."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name and command else command, rest


def load(name: str) -> click.Command:
    """Import a sub-command that is listed, and return it."""
    command: click.Command = getattr(import_module(f".{COMMANDS[name].module}", __package__), name)
    return command


@click.group("videoanalysis", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.rich_config(help_config=click.RichHelpConfiguration(text_paragraph_linebreaks="\n\n"))
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
def videoanalysis() -> None:
    """Analyse videos: run a service, analyse files without one, and use one that runs."""


def main() -> NoReturn:
    """Run the command with the process's arguments, and exit with one of EXIT_CODES."""
    prepare_streams()
    try:
        status = videoanalysis.main(prog_name="videoanalysis", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f" See: {context.command_path} --help" if context else ""
        said = error.format_message()
        print_error(f"{said}{'' if said.endswith(('.', '?')) else '.'}{hint}")
        status = error.exit_code
    except CommandError as error:
        if str(error):
            print_error(str(error))
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        status = 130
    try:
        sys.stdout.flush()
    except (CommandError, OSError):
        sys.stdout = sys.stderr  # do not flush it again at exit
    sys.exit(status if isinstance(status, int) else 0)

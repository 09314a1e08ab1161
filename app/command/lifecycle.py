"""Stop, start and delete scenarios."""

import sys

import rich_click as click

from ..client import Client, ScenarioStatus
from .completion import SCENARIOS
from .connection import find_scenario, with_client
from .output import CommandError, json_option, print_json, print_line
from .wording import name_of, state_of

_PATIENCE = 60.0  # seconds for a scenario to stop before it is deleted


@click.command("stop")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO…", shell_complete=SCENARIOS)
@json_option
@with_client
def stop(client: Client, scenarios: tuple[str, ...], *, as_json: bool) -> None:
    """Stop scenarios.

    What they stored stays, and `start` resumes them. A SCENARIO is an id, or a name that one scenario has.

    \b
    videoanalysis stop "front door"
    videoanalysis ls --running --json | jq -r .id | xargs videoanalysis stop
    """
    for found in _found(client, scenarios):
        _told(client.scenarios.stop(found.id), as_json=as_json)


@click.command("start")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO…", shell_complete=SCENARIOS)
@json_option
@with_client
def start(client: Client, scenarios: tuple[str, ...], *, as_json: bool) -> None:
    """Start scenarios again, after their last stored frames.

    A SCENARIO is an id, or a name that one scenario has.

    \b
    videoanalysis start "front door"
    videoanalysis ls --outcome failed --json | jq -r .id | xargs videoanalysis start
    """
    for found in _found(client, scenarios):
        _told(client.scenarios.start(found.id), as_json=as_json)


@click.command("rm")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO…", shell_complete=SCENARIOS)
@click.option("--stop", "stop_first", is_flag=True, help="Stop those that run.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@with_client
def rm(client: Client, scenarios: tuple[str, ...], *, stop_first: bool, yes: bool, as_json: bool) -> None:
    """Delete scenarios with all that they stored.

    A SCENARIO is an id, or a name that one scenario has. One that runs is deleted with `--stop` only.

    \b
    videoanalysis rm "front door"
    videoanalysis rm --stop --yes "front door" "back door"
    """
    found = _found(client, scenarios)
    if not yes:
        confirm(f"Delete {', '.join(repr(name_of(each)) for each in found)} with all that was stored?")
    for each in found:
        if stop_first and not each.has_ended:
            client.scenarios.stop(each.id)
            try:
                client.wait(each.id, every=0.2, timeout=_PATIENCE)
            except TimeoutError as error:
                raise CommandError(f"{name_of(each)} has not stopped within {_PATIENCE:g} s.") from error
        client.scenarios.delete(each.id)
        if as_json:
            print_json({"id": each.id, "deleted": True})
        else:
            print_line(f"{each.id}  deleted")


def confirm(question: str) -> None:
    """Return if the user agrees. Raises CommandError if not, or if nobody can be asked."""
    if not sys.stdin.isatty():
        raise CommandError("Nobody can be asked here: give --yes to delete.", 2)
    if not click.confirm(question, err=True):
        raise CommandError("Nothing was deleted.")


def _found(client: Client, scenarios: tuple[str, ...]) -> list[ScenarioStatus]:
    """Return the scenarios of these ids and names, each once."""
    found = [find_scenario(client, each) for each in dict.fromkeys(scenarios)]
    return list({each.id: each for each in found}.values())


def _told(scenario: ScenarioStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(scenario)
    else:
        print_line(f"{scenario.id}  {state_of(scenario)}")

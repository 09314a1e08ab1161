"""Follow a scenario."""

import rich_click as click

from ..client import Client, ScenarioStatus
from .completion import SCENARIOS
from .connection import find_scenario, with_client
from .output import CommandError, is_terminal, json_option, make_console, print_json, print_line, printable
from .wording import name_of, progress_of, seconds, state_of

_STOPPED = 4  # the exit code, also if it has not ended in time


@click.command("watch")
@click.argument("scenario", shell_complete=SCENARIOS)
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up after this time.")
@json_option
@with_client
def watch(client: Client, scenario: str, *, timeout: float | None, as_json: bool) -> None:
    """Follow a scenario until it has ended.

    SCENARIO is an id, or a name that one scenario has. On a terminal there is a progress bar, otherwise a
    line for each tenth and each change of state. The exit code is 0 if it was completed, 1 if it failed, and
    4 if it was stopped. Ctrl-C ends watching, not the scenario.

    \b
    videoanalysis watch "front door"
    videoanalysis watch "$id" && videoanalysis export "$id" -o found.csv
    """
    follow(client, find_scenario(client, scenario).id, timeout=timeout, as_json=as_json)


def follow(client: Client, scenario_id: str, *, timeout: float | None = None, as_json: bool = False) -> None:
    """Show how a scenario goes on, and exit with the code of its outcome if that is none of success."""
    try:
        if is_terminal() and not as_json:
            ended = _show_bar(client, scenario_id, timeout)
        else:
            ended = client.wait(scenario_id, timeout=timeout, told=_Lines(as_json=as_json).tell)
    except TimeoutError as error:
        raise CommandError(
            f"The scenario has not ended within {timeout:g} s. It goes on.", _STOPPED
        ) from error
    except KeyboardInterrupt:
        click.echo(f"The scenario goes on. videoanalysis stop {scenario_id}  stops it.", err=True)
        raise
    if ended.outcome == "failed":
        raise CommandError(f"It failed: {ended.error or 'no reason is known'}")
    if ended.outcome != "completed":
        raise CommandError("It was stopped before its end. videoanalysis start resumes it.", _STOPPED)
    if is_terminal() and not as_json:
        print_line(
            f"Completed: {ended.progress.frames_sampled:,} frames, {ended.progress.detections:,} detections."
        )


class _Lines:
    """Prints a line for each tenth that is done, and for each change of state."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._printed: tuple[str, int, str | None] | None = None

    def tell(self, scenario: ScenarioStatus) -> None:
        """Print it if something has changed."""
        reason = scenario.reason.text if scenario.reason else None
        now = (state_of(scenario), int((scenario.progress.percent or 0) // 10), reason)
        if now == self._printed:
            return
        self._printed = now
        if self._as_json:
            print_json(scenario)
            return
        parts = [
            state_of(scenario),
            progress_of(scenario),
            f"{scenario.progress.detections:,} detections",
            reason,
        ]
        print_line("  ".join(part for part in parts if part))


def _show_bar(client: Client, scenario_id: str, timeout: float | None) -> ScenarioStatus:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.fields[named]}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}", markup=False),
    )
    with Progress(*columns, console=make_console(), transient=True, expand=True) as bar:
        shown = bar.add_task("", total=None, named="", said="")

        def tell(scenario: ScenarioStatus) -> None:
            progress = scenario.progress
            left = seconds(progress.eta_seconds)
            said = scenario.reason.text if scenario.reason else state_of(scenario)
            if scenario.state == "active" and not scenario.reason:
                said = f"{progress.detections:,} found" + (f", {left} left" if left else "")
            bar.update(
                shown,
                total=None if progress.percent is None else 100,
                completed=progress.percent or 0,
                named=printable(name_of(scenario))[:24],
                said=printable(said)[:30],
            )

        return client.wait(scenario_id, timeout=timeout, told=tell)

"""List events, and follow new ones."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

import rich_click as click

from ..client import Client, EventRecord
from .completion import SCENARIOS
from .connection import find_scenario, parse_time, with_client
from .output import json_option, print_json, print_line, print_table
from .wording import moment, seconds

_COLUMNS = ("BEGAN", "LASTS", "KIND", "LABEL", "NAME", "STATE")


@click.command("events")
@click.argument("scenario", required=False, shell_complete=SCENARIOS)
@click.option("--kind", metavar="KIND", help="object, zone, line, presence or alert.")
@click.option("--label", metavar="LABEL", help="Only events of this label.")
@click.option("--name", metavar="NAME", help="Only events of the zone, line or alert of this name.")
@click.option(
    "--from", "from_time", metavar="TIME", callback=parse_time, help="Only those that began then or later."
)
@click.option("--to", "to_time", metavar="TIME", callback=parse_time, help="Only those that began before.")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many."
)
@click.option("--newest", is_flag=True, help="Begin with the newest.")
@click.option("-f", "--follow", is_flag=True, help="Print events as they happen, until Ctrl-C.")
@json_option
@with_client
def events(
    client: Client,
    scenario: str | None,
    *,
    kind: str | None,
    label: str | None,
    name: str | None,
    from_time: float | datetime | None,
    to_time: float | datetime | None,
    limit: int,
    newest: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """List what happened in the videos.

    SCENARIO is an id, or a name that one scenario has; without it, events of all scenarios are listed. A TIME
    is in seconds of a recording, or a date of a live source.

    \b
    videoanalysis events "front door" --kind line
    videoanalysis events --label person --from 2026-01-31T08:00 --newest
    videoanalysis events --follow --json | jq .label
    """
    scenario_id = find_scenario(client, scenario).id if scenario is not None else None
    if follow:
        if newest or from_time is not None or to_time is not None:
            raise click.UsageError(
                "--follow tells what happens from now on: leave the times and --newest out."
            )
        for event in _following(client, scenario_id):
            if kind in (None, event.kind) and label in (None, event.label) and name in (None, event.name):
                _print_one(event, as_json=as_json)
        return
    found = client.events(
        scenario_id,
        kind=kind,
        label=label,
        name=name,
        from_time=from_time,
        to_time=to_time,
        order="desc" if newest else None,
        limit=min(limit, 1000),
    )
    chosen = islice(found, limit)
    if as_json:
        for event in chosen:
            print_json(event)
    else:
        print_table(_COLUMNS, map(_cells, chosen), droppable=("STATE", "LASTS", "KIND"))


def _following(client: Client, scenario_id: str | None) -> Iterator[EventRecord]:
    for message in client.changes():
        if message.kind == "event" and scenario_id in (None, message.scenario_id):
            yield message.event()


def _print_one(event: EventRecord, *, as_json: bool) -> None:
    if as_json:
        print_json(event)
    else:
        print_line("  ".join(cell for cell in _cells(event) if cell))


def _cells(event: EventRecord) -> list[str]:
    began = moment(event.at) or seconds(event.start_time) or ""
    lasts = seconds(event.end_time - event.start_time) or ""
    name = event.name or ""
    if event.direction:
        name = f"{name} ({event.direction})"
    return [began, lasts, event.kind, event.label, name, event.state]

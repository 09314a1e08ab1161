"""List scenarios."""

from itertools import islice

import rich_click as click

from ..client import Client
from .completion import BATCHES
from .connection import find_batch, with_client
from .output import json_option, print_json, print_table
from .wording import name_of, progress_of, state_of


@click.command("ls")
@click.option(
    "--outcome", type=click.Choice(["completed", "stopped", "failed"]), help="Only those that ended so."
)
@click.option("--running", is_flag=True, help="Only those that have not ended.")
@click.option("--live/--recorded", default=None, help="Only those of live sources, or of recordings.")
@click.option("--tag", metavar="TAG", help="Only those that have this tag.")
@click.option("--text", metavar="TEXT", help="Only those with this in their name, tags or source.")
@click.option("--found", metavar="LABEL", help="Only those in which this was found.")
@click.option(
    "--batch", metavar="BATCH", shell_complete=BATCHES, help="Only those of this batch: its id or name."
)
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many."
)
@json_option
@with_client
def ls(
    client: Client,
    *,
    outcome: str | None,
    running: bool,
    live: bool | None,
    tag: str | None,
    text: str | None,
    found: str | None,
    batch: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List scenarios, newest first.

    \b
    videoanalysis ls --running
    videoanalysis ls --outcome failed --tag yard
    videoanalysis ls --json | jq -r .id
    """
    scenarios = client.scenarios.list(
        outcome=outcome,
        ended=False if running else None,
        live=live,
        tag=tag,
        text=text,
        found=found,
        batch=find_batch(client, batch).id if batch is not None else None,
        limit=min(limit, 1000),
    )
    chosen = islice(scenarios, limit)
    if as_json:
        for each in chosen:
            print_json(each)
        return
    print_table(
        ("ID", "STATE", "DONE", "NAME"),
        ((each.id, state_of(each), progress_of(each), name_of(each)) for each in chosen),
        droppable=("DONE",),
    )

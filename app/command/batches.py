"""Batches: folders of recordings."""

from itertools import islice
from typing import Any

import rich_click as click

from ..client import BatchStatus, Client
from .completion import BATCHES
from .connection import find_batch, with_client
from .lifecycle import confirm
from .output import CommandError, json_option, print_fields, print_json, print_line, print_table
from .sampling import sampling_of
from .wording import counts_of, moment


@click.group("batches")
def batches() -> None:
    """Analyse folders of recordings.

    A BATCH is an id, or a name that one batch has. `videoanalysis export --batch` writes what was found.

    \b
    videoanalysis batches create "yard/**/*.mp4" --name yard
    videoanalysis batches watch yard
    """


@batches.command("create")
@click.argument("pattern")
@click.option("-d", "--detector", default="objects", show_default=True, help="What to find things with.")
@click.option(
    "--fps", type=click.FloatRange(0, min_open=True), help="Frames a second to analyse; 2 if left out."
)
@click.option("--name", metavar="NAME", help="For people; need not be unique.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be given several times.")
@click.option("--watch", "watched", is_flag=True, help="Also take files that come later.")
@click.option("--at-once", type=click.IntRange(1, 1000), help="How many may wait or run at a time.")
@click.option("--recorded-at", metavar="PATTERN", help="How names tell dates, as cam1_%Y%m%d-%H%M%S.")
@click.option("--timezone", metavar="ZONE", help="Of these dates, as Europe/Berlin.")
@json_option
@with_client
def create(
    client: Client,
    /,
    pattern: str,
    *,
    detector: str,
    fps: float | None,
    tags: tuple[str, ...],
    watched: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Analyse the recordings that match a pattern of paths below the media folder.

    \b
    videoanalysis batches create "yard/*.mp4" --name yard --at-once 8
    """
    scenario: dict[str, Any] = {"detector": {"type": detector}}
    if (sampling := sampling_of(fps)) is not None:
        scenario["sampling"] = sampling
    options = {name: value for name, value in given.items() if value is not None}
    made = client.batches.create(pattern, scenario, tags=list(tags), watch=watched, **options)
    if as_json:
        print_json(made)
    else:
        print_line(made.id)


@batches.command("ls")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=100, show_default=True, help="At most so many."
)
@json_option
@with_client
def ls(client: Client, *, limit: int, as_json: bool) -> None:
    """List batches, newest first."""
    chosen = islice(client.batches.list(), limit)
    if as_json:
        for each in chosen:
            print_json(each)
    else:
        rows = ((each.id, each.state, counts_of(each), each.name or each.sources) for each in chosen)
        print_table(("ID", "STATE", "FILES", "NAME"), rows, droppable=("FILES",))


@batches.command("show")
@click.argument("batch", shell_complete=BATCHES)
@json_option
@with_client
def show(client: Client, batch: str, *, as_json: bool) -> None:
    """Show a batch with its latest failures and warnings."""
    _print(find_batch(client, batch), as_json=as_json)


@batches.command("watch")
@click.argument("batch", shell_complete=BATCHES)
@click.option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Give up after this time.")
@json_option
@with_client
def watch(client: Client, batch: str, *, timeout: float | None, as_json: bool) -> None:
    """Follow a batch until it is done or stopped.

    A line is printed for each change. The exit code is 1 if a file failed, and 4 if the batch was stopped.
    """
    printed: list[str] = []

    def tell(found: BatchStatus) -> None:
        line = f"{found.state}  {counts_of(found)}"
        if printed[-1:] != [line]:
            printed.append(line)
            if as_json:
                print_json(found)
            else:
                print_line(line)

    try:
        ended = client.batches.wait(find_batch(client, batch).id, timeout=timeout, told=tell)
    except TimeoutError as error:
        raise CommandError(f"The batch has not ended within {timeout:g} s. It goes on.", 4) from error
    if ended.state == "stopped":
        raise CommandError("It was stopped before its end. videoanalysis batches start resumes it.", 4)
    if ended.counts.failed:
        raise CommandError(f"Failed: {ended.counts.failed:,} of {ended.counts.files:,} files.")


@batches.command("stop")
@click.argument("batch", shell_complete=BATCHES)
@json_option
@with_client
def stop(client: Client, batch: str, *, as_json: bool) -> None:
    """Stop a batch and its scenarios."""
    _print(client.batches.stop(find_batch(client, batch).id), as_json=as_json)


@batches.command("start")
@click.argument("batch", shell_complete=BATCHES)
@click.option("--failed", is_flag=True, help="Also start scenarios that failed.")
@json_option
@with_client
def start(client: Client, batch: str, *, failed: bool, as_json: bool) -> None:
    """Go on with a batch that was stopped."""
    _print(client.batches.start(find_batch(client, batch).id, failed=failed), as_json=as_json)


@batches.command("rm")
@click.argument("batch", shell_complete=BATCHES)
@click.option("--stop", "stop_first", is_flag=True, help="Stop it if it runs.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@with_client
def rm(client: Client, batch: str, *, stop_first: bool, yes: bool, as_json: bool) -> None:
    """Delete a batch with its scenarios and all that they stored."""
    found = find_batch(client, batch)
    if not yes:
        confirm(f"Delete {found.name or found.sources!r} with {found.counts.files:,} files' results?")
    client.batches.delete(found.id, stop=stop_first)
    if as_json:
        print_json({"id": found.id, "deleted": True})
    else:
        print_line(f"{found.id}  is being deleted")


def _print(batch: BatchStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(batch)
        return
    print_fields(
        [
            ("id", batch.id),
            ("name", batch.name or None),
            ("files", batch.sources),
            ("state", batch.state),
            ("problem", batch.problem),
            ("counts", counts_of(batch)),
            ("watches", "for files that come later" if batch.watch else None),
            ("created", moment(batch.created_at)),
            *(("failed", f"{fault.path}: {fault.text}") for fault in batch.failures),
            *(("warning", f"{fault.path}: {fault.text}") for fault in batch.warnings),
        ]
    )

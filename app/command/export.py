"""Take results away as files."""

import sys
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import rich_click as click

from ..client import Client
from .completion import BATCHES, SCENARIOS
from .connection import find_batch, find_scenario, parse_time, with_client
from .file_formats import FORMATS
from .output import CommandError, is_terminal, json_option, print_json, print_line, readable


@click.command("export")
@click.argument("scenario", required=False, shell_complete=SCENARIOS)
@click.option(
    "--batch", metavar="BATCH", shell_complete=BATCHES, help="All scenarios of this batch: its id or name."
)
@click.option("-o", "--output", metavar="FILE", required=True, help="What to write; - is standard output.")
@click.option(
    "-f",
    "--format",
    "file_format",
    metavar="FORMAT",
    help="csv, jsonl, coco, mot, mot_zip or parquet; by default what FILE ends in.",
)
@click.option("--events", is_flag=True, help="Events, in place of predictions.")
@click.option("--label", metavar="LABEL", help="Only detections or events of this label.")
@click.option("--min-confidence", type=click.FloatRange(0, 1), help="Only detections at least as sure.")
@click.option("--kind", metavar="KIND", help="Only events of this kind.")
@click.option("--from", "from_time", metavar="TIME", callback=parse_time, help="From this time on.")
@click.option("--to", "to_time", metavar="TIME", callback=parse_time, help="Before this time.")
@click.option("--bom", is_flag=True, help="For spreadsheets: begin CSV with a byte order mark.")
@json_option
@with_client
def export(
    client: Client,
    scenario: str | None,
    *,
    batch: str | None,
    output: str,
    file_format: str | None,
    events: bool,
    label: str | None,
    min_confidence: float | None,
    kind: str | None,
    from_time: float | datetime | None,
    to_time: float | datetime | None,
    bom: bool,
    as_json: bool,
) -> None:
    """Write predictions or events to a file.

    SCENARIO is an id, or a name that one scenario has. FILE is replaced once all of it is there; if the
    export fails, it stays as it was. `.json` means coco, `.txt` mot, and `.zip` mot_zip.

    \b
    videoanalysis export "front door" -o found.csv
    videoanalysis export "front door" --events -f jsonl -o - | jq .label
    videoanalysis export --batch yard -o yard.json --label person
    """
    if (scenario is None) == (batch is None):
        raise click.UsageError("Give a SCENARIO or --batch.")
    is_stream = output == "-"
    if not is_stream:
        _check_place(output)
    chosen = file_format or ("csv" if is_stream else FORMATS.get(Path(output).suffix.lower()))
    if chosen is None:
        raise click.UsageError(f"The ending of {output!r} tells no format: give --format.")
    if is_stream and as_json:
        raise click.UsageError("--json tells what was written to a file, so FILE cannot be -.")
    to: Path | BinaryIO = sys.stdout.buffer if is_stream else Path(output)
    if is_stream and is_terminal():  # its texts are as they were stored, and might drive the terminal
        raise CommandError(
            "What is exported is not for a terminal: give a FILE, or pipe it into a program.", 2
        )
    filters = {
        "what": "events" if events else "predictions",
        "label": label,
        "min_confidence": min_confidence,
        "kind": kind,
        "from_time": from_time,
        "to_time": to_time,
        "bom": bom or None,
    }
    if batch is not None:
        client.batches.export(find_batch(client, batch).id, chosen, to, **filters)  # type: ignore[arg-type]
    else:
        found = find_scenario(client, scenario or "")
        client.export(found.id, chosen, to, **filters)  # type: ignore[arg-type]
    if isinstance(to, Path) and to.is_file():  # not /dev/stdout, which has the file itself
        size = to.stat().st_size
        if as_json:
            print_json({"file": readable(str(to)), "format": chosen, "bytes": size})
        else:
            print_line(f"{to}  {size:,} bytes")


def _check_place(output: str) -> None:
    """Raise a usage error if no file can be at this path."""
    if not output:
        raise click.BadParameter("it is empty: give the name of a file.", param_hint="--output")
    path, shown = Path(output), readable(output)
    try:
        path.stat()
    except FileNotFoundError:
        folder = (path.resolve() if path.is_symlink() else path).parent
        if not folder.is_dir():
            folder_shown = readable(str(folder))
            reason = f"there is no folder {folder_shown!r}: make it first."
            raise click.BadParameter(reason, param_hint="--output") from None
    except (OSError, ValueError) as error:  # such as links that lead to each other, and a null byte
        reason = f"no file can be {shown!r}: {(getattr(error, 'strerror', None) or str(error)).lower()}."
        raise click.BadParameter(reason, param_hint="--output") from error
    if path.is_dir():
        reason = f"{shown!r} is a folder: give the name of a file in it."
        raise click.BadParameter(reason, param_hint="--output")

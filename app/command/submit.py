"""Create a scenario."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click

from ..client import Client, ClientError
from .connection import with_client
from .detector_options import OptionError, detector_option, read_options
from .output import CommandError, is_terminal, json_option, print_json, print_line
from .sampling import sampling_of
from .watch import follow


@click.command("submit")
@click.argument("source")
@click.option("-d", "--detector", help="What to find things with.  [default: objects]")
@detector_option
@click.option(
    "--fps", type=click.FloatRange(0, min_open=True), help="Frames a second to analyse; 2 if left out."
)
@click.option("--all-frames", is_flag=True, help="Analyse every frame.")
@click.option("--name", metavar="NAME", help="For people; need not be unique.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be given several times.")
@click.option(
    "--restart", type=click.Choice(["never", "on_failure", "always"]), help="When it is tried again."
)
@click.option("--recorded-at", metavar="DATE", help="When the recording began, as 2026-01-31T09:30:00Z.")
@click.option(
    "--request", metavar="FILE", help="Further fields of POST /scenarios as JSON; - is standard input."
)
@click.option("--upload", is_flag=True, help="SOURCE is a file here: upload it first.")
@click.option("--key", metavar="KEY", help="With one KEY, at most one scenario is created.")
@click.option("-w", "--watch", "watched", is_flag=True, help="Follow it until it has ended, as `watch` does.")
@json_option
@with_client
def submit(
    client: Client,
    source: str,
    *,
    detector: str | None,
    options: tuple[str, ...],
    fps: float | None,
    all_frames: bool,
    name: str | None,
    tags: tuple[str, ...],
    restart: str | None,
    recorded_at: str | None,
    request: str | None,
    upload: bool,
    key: str | None,
    watched: bool,
    as_json: bool,
) -> None:
    """Create a scenario and start it.

    SOURCE is a path below the service's media folder, or the address of a camera or recording. The id is
    printed. `GET /detectors` tells what detectors there are, with their options.

    \b
    videoanalysis submit clip.mp4 --watch
    videoanalysis submit rtsp://camera/stream -d objects -O labels='["person"]' --restart always
    videoanalysis submit --upload ~/clip.mp4 --fps 5 --name "front door"
    videoanalysis submit clip.mp4 --request zones.json
    """
    if fps is not None and all_frames:
        raise click.UsageError("Give --fps or --all-frames, not both.")
    fields = _read(request) if request is not None else {}
    chosen = fields.get("detector", {"type": "objects"}) if detector is None else {"type": detector}
    if not isinstance(chosen, dict):
        raise click.BadParameter("its detector is no JSON object.", param_hint="--request")
    try:
        chosen = {**chosen, **read_options(options)}
    except OptionError as error:
        raise click.UsageError(str(error)) from error
    given = {
        "detector": chosen,
        "sampling": sampling_of(fps, all_frames=all_frames),
        "name": name,
        "tags": list(tags) or None,
        "restart": {"policy": restart} if restart else None,
        "recorded_at": recorded_at,
    }
    fields |= {field: value for field, value in given.items() if value is not None}
    fields["source"] = client.upload(source).source if upload else source
    try:
        made = client.scenarios.create(**fields | {"idempotency_key": key})
    except UnicodeEncodeError:  # of which the client's sub-commands tell
        raise
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--key") from error
    except ClientError as error:
        if key is not None and error.type.endswith("/mismatch"):
            raise CommandError(
                "This key belongs to a scenario of other content. Give another --key, or the same as then."
            ) from error
        if error.field == "source" and not upload and _is_file(source):
            raise CommandError(f"{error} Or give --upload, because the file is on this machine.") from error
        raise
    if as_json:
        print_json(made)
    else:
        print_line(made.id)
    if watched:
        follow(client, made.id, as_json=as_json)
    elif is_terminal() and not as_json:
        click.echo(f"videoanalysis watch {made.id}  follows it.", err=True)


def _read(request: str) -> dict[str, Any]:
    content = sys.stdin.buffer.read() if request == "-" else Path(request).read_bytes()
    try:
        return msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"it is no JSON object: {error}", param_hint="--request") from error


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except ValueError:  # a null byte
        return False

"""`videoanalysis analyze`: analyse files without a service."""

import os
from pathlib import Path
from typing import Any

import rich_click as click

from .analysing.detectors import CONFIGS, description_of, options_of
from .detector_options import detector_option
from .output import json_option, print_json, print_line, print_table

_Files = click.Path(path_type=Path)


class _FilesCommand(click.RichCommand):
    """A command whose arguments are files."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Explain how a file is named whose name looks like an option."""
        named = [each for each in args if each.startswith("-") and os.path.lexists(each)]
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not named:
                raise
            hint = f"A file whose name begins with '-' is written ./{named[0]}."
            raise click.UsageError(f"{error.format_message()} {hint}", ctx) from error


def _print_options(ctx: click.Context, _param: click.Parameter, detector: str | None) -> None:
    if detector is None or ctx.resilient_parsing:
        return
    print_line(f"{detector}: {description_of(detector)}")
    print_table(("OPTION", "DEFAULT", "MEANING OR VALUES"), options_of(detector))
    ctx.exit()


@click.command(cls=_FilesCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-d", "--detector", type=click.Choice(list(CONFIGS)), help="What to find things with.  [default: objects]"
)
@detector_option
@click.option(
    "--options-of",
    type=click.Choice(list(CONFIGS)),
    is_eager=True,
    expose_value=False,
    callback=_print_options,
    help="Show what --option can say of a detector, and exit.",
)
@click.option(
    "--fps", type=click.FloatRange(0, min_open=True), help="Frames a second to analyse; 2 if left out."
)
@click.option("--all-frames", is_flag=True, help="Analyse every frame.")
@click.option(
    "--request",
    type=_Files,
    metavar="FILE",
    help="Further fields of POST /scenarios as JSON, such as zones, lines and alerts.",
)
@click.option(
    "--export",
    "exports",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="Write what was found in each frame: .csv, .jsonl, .parquet, .json (COCO) or .txt (MOT).",
)
@click.option(
    "--events",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="Write who came and went, and when: .csv, .jsonl or .parquet.",
)
@click.option("--bom", is_flag=True, help="Begin .csv with a byte order mark, by which Excel knows UTF-8.")
@click.option(
    "--recorded-at",
    metavar="PATTERN",
    help="How names tell when a recording begins, as in cam1_%Y%m%d-%H%M%S.",
)
@click.option("--timezone", help="The time zone of the dates in names, as in Europe/Berlin.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".videoanalysis"),
    show_default=True,
    help="The folder that remembers what was analysed. Remove it to begin anew.",
)
@click.option("--scenarios-dsn", hidden=True, help="A database to use instead of one in --data.")
@click.option("--predictions-dsn", hidden=True, help="A database to use instead of one in --data.")
@json_option
@click.pass_context
def analyze(context: click.RichContext, /, paths: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Analyse files without a service.

    Paths are recordings, folders with all that is in them, and patterns. Ctrl-C stops it. The same command
    goes on then, and analyses no file again whose content and options are the same. The exit code is 1 if a
    file failed.

    \b
    videoanalysis analyze recordings --export found.csv
    videoanalysis analyze 'cam*/**/*.mp4' -O labels=person,car --events who.csv
    videoanalysis analyze clip.mkv --fps 5 -d onnx -O model=best.onnx
    videoanalysis analyze yard --request zones.json --events visits.csv
    """
    # Imported after --help, because the engine takes a second to import.
    from ..process import require_utf8
    from .analysing.asked import read_arguments
    from .analysing.report import print_report
    from .analysing.running import run_analysis

    require_utf8()
    report = run_analysis(read_arguments(paths, **given), given["data"])
    if as_json:
        print_json(report)
    else:
        print_report(report)
    if report.failed:
        context.exit(1)

"""`videoanalysis analyze`: analyse files without a service."""

import signal
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import msgspec
import rich_click as click
from anyio import CancelScope, Event, create_task_group
from msgspec.structs import replace

from .. import logs
from ..media.recording_times import RecordingTimeError, RecordingTimes
from ..process import configure_process, require_utf8
from ..settings import Settings, SettingsError
from ..supervision import unwrap
from .analysing.engine import engine_settings, locked_folder, running_engine
from .analysing.exporting import WantedExport, wanted_export, write_export
from .analysing.interruption import interruptible
from .analysing.plan import CONFIGS, Plan, PlanError, locate_model, make_scenario
from .analysing.progress import shown_progress
from .analysing.recordings import FoundRecordings, find_recordings
from .analysing.report import AnalysisReport, FileReport, print_report, report_of, report_of_problems
from .analysing.work import FileAnalysis
from .detector_options import detector_option
from .output import CommandError, json_option, not_utf_8, print_json, readable

_Files = click.Path(path_type=Path)
_WRONG_USAGE = 2


class _Asked(NamedTuple):
    """What the command line asks for."""

    found: FoundRecordings
    plan: Plan
    exports: list[WantedExport]
    settings: Settings


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option(
    "-d", "--detector", type=click.Choice(list(CONFIGS)), help="What to find things with.  [default: objects]"
)
@detector_option
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
    require_utf8()
    asked = _read(paths, **given)
    configure_process()
    logs.configure(asked.settings.log_format, asked.settings.log_level, asked.settings.secrets())
    report = _run(asked, given["data"])
    if as_json:
        print_json(report)
    else:
        print_report(report)
    if report.failed:
        context.exit(1)


def _read(
    paths: tuple[str, ...],
    *,
    detector: str | None,
    options: tuple[str, ...],
    fps: float | None,
    all_frames: bool,
    request: Path | None,
    exports: tuple[str, ...],
    events: tuple[str, ...],
    bom: bool,
    recorded_at: str | None,
    timezone: str | None,
    data: Path,
    scenarios_dsn: str | None,
    predictions_dsn: str | None,
) -> _Asked:
    """Check everything before the first file is analysed. Raises CommandError."""
    databases = {"VA_SCENARIOS_DSN": scenarios_dsn, "VA_PREDICTIONS_DSN": predictions_dsn}
    wanted = [wanted_export(name, of_events=False, has_bom=bom) for name in exports]
    wanted += [wanted_export(name, of_events=True, has_bom=bom) for name in events]
    if len({each.path.resolve() for each in wanted}) < len(wanted):
        raise CommandError("Two exports have the same name: give each a file of its own.", _WRONG_USAGE)
    if fps is not None and all_frames:
        raise click.UsageError("Give --fps or --all-frames, not both.")
    if timezone is not None and recorded_at is None:
        raise click.UsageError("--timezone is of the dates in names: give --recorded-at, too.")
    try:
        settings = engine_settings(data, {name: dsn for name, dsn in databases.items() if dsn})
        fields = _fields_in(request)
        if fps is not None or all_frames:
            fields["sampling"] = {"mode": "all"} if all_frames else {"mode": "fps", "fps": fps}
        scenario = make_scenario(detector, options, fields)
        scenario, model_root, version = locate_model(scenario, settings.model_root)
        times = None if recorded_at is None else RecordingTimes(recorded_at, timezone)
    except UnicodeEncodeError as error:
        raise not_utf_8(error) from error
    except (SettingsError, PlanError, RecordingTimeError) as error:
        raise CommandError(str(error), _WRONG_USAGE) from error
    rules = scenario.spec().rules
    if events and rules.tracking is None and rules.presence is None:
        raise CommandError(
            "--events has nothing to write if --request turns tracking and presence off: leave one out.",
            _WRONG_USAGE,
        )
    found = find_recordings(paths)
    if len(found.recordings) > 1 and any(each.format == "mot" for each in wanted):
        raise CommandError(
            "A file of the MOT Challenge (.txt) is of one video: name one recording, or another ending.",
            _WRONG_USAGE,
        )
    if not found.recordings and not found.problems:
        raise CommandError(
            f"None of the {len(found.skipped)} files has the ending of a video: name files themselves to"
            " analyse them."
        )
    return _Asked(found, Plan(scenario, version, times), wanted, replace(settings, model_root=model_root))


def _fields_in(file: Path | None) -> dict[str, Any]:
    """Return the fields in a file. Raises PlanError."""
    try:
        return {} if file is None else msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{str(file)!r} is no JSON object: {error}.") from error


def _run(asked: _Asked, data: Path) -> AnalysisReport:
    """Analyse the files. Raises CommandError if it cannot, or was interrupted."""
    found, reports, written = asked.found, list[FileReport](), list[str]()
    if found.recordings:
        with locked_folder(data):
            reports = _run_engine(asked)
        written = [readable(str(export.path)) for export in asked.exports]
    return AnalysisReport([*reports, *report_of_problems(found)], found.skipped, written)


def _run_engine(asked: _Asked) -> list[FileReport]:
    with interruptible() as interrupted:
        try:
            reports = anyio.run(partial(_analyse, asked, interrupted), backend_options={"use_uvloop": True})
        except (CommandError, ExceptionGroup) as fault:
            if not interrupted:
                raise unwrap(fault) from fault
            reports = None
    if reports is None:
        code = 130 if signal.SIGINT in interrupted else 1
        raise CommandError("Stopped. The same command goes on with what is left.", code)
    return reports


async def _analyse(asked: _Asked, interrupted: Collection[int]) -> list[FileReport] | None:
    """Return what became of each recording, or None if the process was asked to stop."""
    reports = None
    async with running_engine(asked.settings) as engine, create_task_group() as group:
        if interrupted:  # before the engine listened to signals
            return None
        group.start_soon(_cancel_when_set, engine.stopping, group.cancel_scope)
        with shown_progress(len(asked.found.recordings)) as progress:
            analysis = FileAnalysis(engine.deps, asked.plan, asked.settings.runner_slots, progress)
            files = await analysis.run(asked.found.recordings)
        for export in asked.exports:
            await write_export(engine.deps, export, files)
        reports = [await report_of(engine.deps, file) for file in files]
        group.cancel_scope.cancel()
    return reports


async def _cancel_when_set(stopping: Event, scope: CancelScope) -> None:
    await stopping.wait()
    scope.cancel()

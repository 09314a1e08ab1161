"""What a command line asks for, checked before the first file is analysed."""

from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import rich_click as click
from msgspec.structs import replace

from ...media.recording_times import RecordingTimeError, RecordingTimes
from ...settings import Settings, SettingsError
from ..output import CommandError, not_utf_8
from ..sampling import sampling_of
from .engine import engine_settings
from .exporting import WantedExport, wanted_export
from .options import with_options
from .plan import Plan, PlanError, locate_model, make_scenario
from .recordings import FoundRecordings, find_recordings

_WRONG_USAGE = 2


class Asked(NamedTuple):
    """What the command line asks for."""

    found: FoundRecordings
    plan: Plan
    exports: list[WantedExport]
    settings: Settings


def read_arguments(
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
) -> Asked:
    """Check everything before the first file is analysed. Raises CommandError."""
    databases = {"VA_SCENARIOS_DSN": scenarios_dsn, "VA_PREDICTIONS_DSN": predictions_dsn}
    wanted = [wanted_export(name, of_events=False, has_bom=bom) for name in exports]
    wanted += [wanted_export(name, of_events=True, has_bom=bom) for name in events]
    if len({each.path.resolve() for each in wanted}) < len(wanted):
        raise CommandError("Two exports have the same name: give each a file of its own.", _WRONG_USAGE)
    sampling = sampling_of(fps, all_frames=all_frames)
    if timezone is not None and recorded_at is None:
        raise click.UsageError("--timezone is of the dates in names: give --recorded-at, too.")
    try:
        settings = engine_settings(data, {name: dsn for name, dsn in databases.items() if dsn})
        fields = _fields_in(request)
        if sampling is not None:
            fields["sampling"] = sampling
        scenario = make_scenario(detector, options, fields)
        scenario, model_root, version = locate_model(scenario, settings.model_root)
        times = None if recorded_at is None else RecordingTimes(recorded_at, timezone)
    except UnicodeEncodeError as error:
        raise not_utf_8(error) from error
    except (SettingsError, PlanError, RecordingTimeError) as error:
        raise CommandError(with_options(str(error)), _WRONG_USAGE) from error
    rules = scenario.spec().rules
    if events and rules.tracking is None and rules.presence is None:
        raise CommandError(
            "--events has nothing to write if --request turns tracking and presence off: leave one out.",
            _WRONG_USAGE,
        )
    found = find_recordings(paths)
    if len(found.recordings) > 1 and any(each.format == "mot" for each in wanted):
        raise CommandError(
            "A file of the MOT Challenge (.txt) is of one video: name one recording, or"
            " a .zip with a folder for each.",
            _WRONG_USAGE,
        )
    if not found.recordings and not found.problems:
        raise CommandError(
            f"None of the {len(found.skipped)} files has the ending of a video: name files themselves to"
            " analyse them."
        )
    return Asked(found, Plan(scenario, version, times), wanted, replace(settings, model_root=model_root))


def _fields_in(file: Path | None) -> dict[str, Any]:
    """Return the fields in a file. Raises PlanError."""
    try:
        return {} if file is None else msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PlanError(f"The file {str(file)!r} of --request cannot be read: {reason}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{str(file)!r} is no JSON object: {error}.") from error

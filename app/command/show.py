"""Show one scenario."""

import rich_click as click

from ..client import Client, ScenarioStatus
from .completion import SCENARIOS
from .connection import find_scenario, with_client
from .output import json_option, print_fields, print_json
from .wording import moment, progress_of, seconds, state_of


@click.command("show")
@click.argument("scenario", shell_complete=SCENARIOS)
@json_option
@with_client
def show(client: Client, scenario: str, *, as_json: bool) -> None:
    """Show one scenario.

    SCENARIO is an id, or a name that one scenario has.

    \b
    videoanalysis show "front door"
    videoanalysis show d6d5646c-83d1-420d-9705-5bad11a36921 --json
    """
    found = find_scenario(client, scenario)
    if as_json:
        print_json(found)
    else:
        print_scenario(found)


def print_scenario(scenario: ScenarioStatus) -> None:
    """Print what people want to know of it, one thing a line."""
    progress, media = scenario.progress, scenario.media
    what = f"{media.width} × {media.height}" if media else None
    if media and media.fps:
        what = f"{what}, {media.fps:g} fps"
    if media and media.duration_seconds:
        what = f"{what}, {seconds(media.duration_seconds)}"
    print_fields(
        [
            ("id", scenario.id),
            ("name", scenario.name or None),
            ("tags", ", ".join(scenario.tags) or None),
            ("state", state_of(scenario)),
            ("error", scenario.error),
            ("reason", scenario.reason.text if scenario.reason else None),
            *(("warning", warning.text) for warning in scenario.warnings),
            ("source", scenario.source),
            ("video", what),
            ("detector", scenario.detector.get("type")),
            ("done", progress_of(scenario) or None),
            ("left", seconds(progress.eta_seconds)),
            ("frames", f"{progress.frames_sampled:,} analysed"),
            ("failed", f"{progress.frames_failed:,} frames" if progress.frames_failed else None),
            ("dropped", f"{progress.frames_dropped:,} frames" if progress.frames_dropped else None),
            ("detections", f"{progress.detections:,}"),
            ("runner", scenario.runner_id),
            ("batch", scenario.batch),
            ("created", moment(scenario.created_at)),
            ("changed", moment(scenario.updated_at)),
        ]
    )

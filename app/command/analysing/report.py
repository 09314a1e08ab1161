"""What is said at the end: labels and counts of each file, warnings, and failures with their reasons."""

from functools import partial
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from ...api.options import ApiDeps
from ...api.queries.label_counts import LabelCount, count_labels
from ..output import print_line, print_table
from .options import with_options
from .progress import named_reason
from .recordings import FoundRecordings, endings_of
from .work import AnalysedFile, until_answered


class FileReport(Struct, frozen=True, kw_only=True):
    """What became of a file. `frames` are those that were sampled."""

    file: str
    outcome: Literal["completed", "failed"]
    was_analysed_before: bool = False
    scenario_id: UUID | None = None
    frames: int = 0
    duration_seconds: float | None = None
    labels: list[LabelCount] = []
    warnings: list[str] = []
    error: str | None = None


class AnalysisReport(Struct, frozen=True):
    """What is printed with `--json`. `undated` are files in whose names `--recorded-at` finds no date."""

    files: list[FileReport]
    skipped: list[str]
    exports: list[str]
    undated: list[str] = []

    @property
    def failed(self) -> list[FileReport]:
        """The files that failed, and what could not be looked into."""
        return [file for file in self.files if file.outcome == "failed"]


def report_of_problems(found: FoundRecordings) -> list[FileReport]:
    """Return what could not be looked into."""
    return [
        FileReport(file=name, outcome="failed", error=problem) for name, problem in found.problems.items()
    ]


async def report_of(deps: ApiDeps, file: AnalysedFile) -> FileReport:
    """Return what became of a file."""
    scenario, name = file.scenario, file.recording.shown
    if scenario is None:
        return FileReport(file=name, outcome=file.ending, error=file.error)
    labels = await until_answered(partial(count_labels, deps.predictions, scenario.id))
    if scenario.tracking is not None:
        labels = [replace(each, objects=each.objects or 0) for each in labels]
    return FileReport(
        file=name,
        outcome=file.ending,
        was_analysed_before=file.was_done,
        scenario_id=scenario.id,
        frames=scenario.progress.frames_sampled,
        duration_seconds=None if scenario.media is None else scenario.media.duration_seconds,
        labels=labels,
        warnings=[with_options(each.text) for each in scenario.warnings],
        error=file.error,
    )


def print_report(report: AnalysisReport) -> None:
    """Print the table of labels, what was skipped and written, and the failures."""
    rows: list[tuple[object, ...]] = []
    for file in report.files:
        if file.outcome == "completed" and not file.labels:
            rows.append((None, 0, f"0 of {file.frames}", "(nothing found)", file.file))
        rows += [
            (each.objects, each.detections, f"{each.frames} of {file.frames}", each.label, file.file)
            for each in file.labels
        ]
    if rows:  # numbers first, because long labels and names take what is left of the width
        print_table(
            ("OBJECTS", "DETECTIONS", "FRAMES", "LABEL", "FILE"), rows, droppable=("FRAMES", "OBJECTS")
        )
    warned: dict[str, list[str]] = {}
    for file in report.files:
        for warning in file.warnings:
            warned.setdefault(warning, []).append(file.file)
    for warning, names in warned.items():
        print_line(f"Warning: {_some(names)}: {warning}")
    if report.undated:
        print_line(
            f"Warning: {_some(report.undated)}: --recorded-at finds no date in the name, so that events have"
            " only times from the beginning."
        )
    if report.skipped:
        count = "1 file was" if len(report.skipped) == 1 else f"{len(report.skipped)} files were"
        print_line(
            f"{count} skipped, because the ending is not that of a video"
            f" ({', '.join(endings_of(report.skipped))}): name a file itself to analyse it."
        )
    for path in report.exports:
        print_line(f"Written: {path}")
    if report.failed:
        print_line(f"Failed: {len(report.failed)} of {len(report.files)}")
    for file in report.failed:
        print_line(f"  {named_reason(file.file, file.error or '')}")


def _some(names: list[str]) -> str:
    """Return a name, or the number of names with the first of them."""
    return names[0] if len(names) == 1 else f"{len(names):,} files, such as {names[0]}"

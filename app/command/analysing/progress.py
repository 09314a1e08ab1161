"""Show how far files are: bars on a terminal, one line for each file elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ...api.queries.scenarios import Scenario
from ..output import make_console, printable
from .options import with_options
from .recordings import RecordedFile
from .work import AnalysedFile, ProgressShown

_LONGEST = 32  # characters of a name beside a bar


class Lines:
    """Prints a line for each file that ended, and why one waits, to standard error."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._ended = 0
        self._reasons: dict[RecordedFile, str] = {}

    def note(self, text: str) -> None:
        """Print a sentence."""
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()

    def update(self, recording: RecordedFile, scenario: Scenario) -> None:
        """Print why a file does not go on, once for all that wait for the same."""
        if scenario.reason is not None and scenario.reason.code != "no_slot":
            text = with_options(scenario.reason.text)
            if text not in self._reasons.values():  # several files may wait for the same
                self.note(f"{recording.shown}: {text}")
            self._reasons[recording] = text

    def end(self, file: AnalysedFile) -> None:
        """Print how a file ended."""
        self._ended += 1
        self.note(f"[{self._ended}/{self._total}] {sentence_of(file)}")


class Bars:
    """One bar for each file that is being analysed, and one for all."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._all = progress.add_task("all files", total=total, detail="")
        self._bars: dict[RecordedFile, TaskID] = {}

    def note(self, text: str) -> None:
        """Print a sentence above the bars."""
        self._progress.console.print(printable(text))

    def update(self, recording: RecordedFile, scenario: Scenario) -> None:
        """Move a file's bar."""
        if scenario.runner_id is None and scenario.reason is None:
            return
        if recording not in self._bars:
            self._bars[recording] = self._progress.add_task(_short(recording), total=100, detail="")
        found = scenario.progress
        detail = f"{found.frames_sampled:,} frames, {found.detections:,} found"
        if scenario.reason is not None and scenario.reason.code != "no_slot":
            detail = with_options(scenario.reason.text)
        self._progress.update(
            self._bars[recording],
            completed=found.percent or 0.0,
            total=None if found.percent is None and found.frames_read else 100,
            detail=detail,
        )

    def end(self, file: AnalysedFile) -> None:
        """Remove the file's bar, and move that of all."""
        bar = self._bars.pop(file.recording, None)
        if bar is not None:
            self._progress.remove_task(bar)
        self._progress.advance(self._all)
        if file.ending == "failed":
            self.note(sentence_of(file))


@contextmanager
def shown_progress(total: int) -> Iterator[ProgressShown]:
    """Show progress on standard error during the block."""
    if not sys.stderr.isatty():
        yield Lines(total)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns, console=make_console(stderr=True), transient=True) as progress:
        yield Bars(progress, total)


def sentence_of(file: AnalysedFile) -> str:
    """Return how a file ended."""
    name = file.recording.shown
    if file.ending == "failed":
        return named_reason(name, file.error or "it gives no reason")
    if file.scenario is None:
        return f"{name}: analysed"
    frames, found = file.scenario.progress.frames_sampled, file.scenario.progress.detections
    before = "was analysed before" if file.was_done else "analysed"
    return f"{name}: {before}: {frames:,} frames, {found:,} detections"


def named_reason(name: str, reason: str) -> str:
    """Return why a file failed, in a sentence that names it once."""
    return reason if reason.startswith(name) else f"{name}: {reason}"


def _short(recording: RecordedFile) -> str:
    name = printable(recording.shown)
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"

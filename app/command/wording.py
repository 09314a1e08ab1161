"""Scenarios, batches, times and counts in the words of the output."""

from datetime import datetime
from pathlib import PurePath

from ..client import BatchStatus, ScenarioStatus

_STATES = {
    "init_startup": "waiting",
    "in_startup_processing": "starting",
    "init_shutdown": "stopping",
    "in_shutdown_processing": "stopping",
}


def state_of(scenario: ScenarioStatus) -> str:
    """Return its outcome once it has ended, else what it does."""
    return scenario.outcome or _STATES.get(scenario.state, scenario.state)


def name_of(scenario: ScenarioStatus) -> str:
    """Return its name, or its source: the last part of a path, because lines are short, or an address."""
    source = scenario.source
    return scenario.name or (source if "://" in source else PurePath(source).name) or source


def progress_of(scenario: ScenarioStatus) -> str:
    """Return how far it is: in percent, or as a number of frames if the length is not known."""
    progress = scenario.progress
    if progress.percent is not None:
        return f"{progress.percent:.0f} %"
    return f"{progress.frames_sampled:,} frames" if progress.frames_sampled else ""


def counts_of(batch: BatchStatus) -> str:
    """Return how many files of a batch are in which state."""
    counts = batch.counts
    shown = [
        f"{count:,} {name}"
        for name, count in (
            ("running", counts.running),
            ("waiting", counts.waiting + counts.growing),
            ("stopped", counts.stopped),
            ("failed", counts.failed),
        )
        if count
    ]
    return ", ".join([f"{counts.completed:,} of {counts.files:,} completed", *shown])


def moment(time: datetime | None) -> str | None:
    """Return a date in this machine's time zone, to the second."""
    return None if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds(count: float | None) -> str | None:
    """Return a duration as people write it: 0:41 or 1:02:03."""
    if count is None:
        return None
    minutes, rest = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

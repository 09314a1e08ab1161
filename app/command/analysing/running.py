"""Analyse what is asked for, from the start of the engine to the report."""

import signal
from collections.abc import Collection
from functools import partial
from pathlib import Path

import anyio
from anyio import CancelScope, Event, create_task_group

from ... import logs
from ...process import configure_process
from ...supervision import unwrap
from ..output import CommandError, readable
from .asked import Asked
from .engine import locked_folder, running_engine
from .exporting import write_export
from .interruption import interruptible
from .progress import shown_progress
from .report import AnalysisReport, FileReport, report_of, report_of_problems
from .work import FileAnalysis


def run_analysis(asked: Asked, data: Path) -> AnalysisReport:
    """Analyse the files. Raises CommandError if it cannot, or was interrupted."""
    configure_process()
    logs.configure(asked.settings.log_format, asked.settings.log_level, asked.settings.secrets())
    found, reports, written = asked.found, list[FileReport](), list[str]()
    if found.recordings:
        with locked_folder(data):
            reports = _run_engine(asked)
        written = [readable(str(export.path)) for export in asked.exports]
    times = asked.plan.times
    undated = [each.shown for each in found.recordings if times and times.find(str(each.path)) is None]
    return AnalysisReport([*reports, *report_of_problems(found)], found.skipped, written, undated)


def _run_engine(asked: Asked) -> list[FileReport]:
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


async def _analyse(asked: Asked, interrupted: Collection[int]) -> list[FileReport] | None:
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

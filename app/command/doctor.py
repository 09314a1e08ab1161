"""`videoanalysis doctor`: what is wrong with this installation, and what to do."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import anyio
import rich_click as click

from .. import logs
from ..settings import Settings
from .checking.databases import check_databases
from .checking.finding import Finding
from .checking.machine import check_disks, check_video_and_model
from .checking.surroundings import check_bus, check_channels, check_port
from .environment import env_file_option, read_settings
from .output import json_option, print_json, print_line

_MARKS = {"ok": "OK   ", "warn": "warn ", "fail": "FAIL "}


@click.command()
@env_file_option
@json_option
@click.pass_context
def doctor(context: click.RichContext, /, env_file: Path, as_json: bool) -> None:
    """Check what the service of this folder needs.

    Databases, bus, port, channels, disks, clocks, video and inference are checked with the settings that the
    service would have, whether it runs or not. Each line says what is wrong and what to do. The exit code
    is 1 if a check fails.

    \b
    videoanalysis doctor
    videoanalysis doctor --env-file /etc/videoanalysis.env --json
    """
    settings = read_settings(env_file)
    logs.configure("text", "error", settings.secrets())
    has_failed = anyio.run(partial(_check_all, settings, as_json=as_json))
    if has_failed:
        context.exit(1)


async def _check_all(settings: Settings, *, as_json: bool) -> bool:
    """Print what is found as soon as it is, and return whether a check failed."""
    has_failed = False
    async for finding in _findings(settings):
        has_failed = has_failed or finding.status == "fail"
        if as_json:
            print_json(finding)
        else:
            advice = f" {finding.advice}" if finding.advice else ""
            print_line(f"{_MARKS[finding.status]}{finding.subject}: {finding.text}{advice}")
    return has_failed


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    for check in (check_databases, check_bus, check_port, check_channels):
        async for finding in check(settings):
            yield finding
    for look in (check_disks, check_video_and_model):
        for finding in await anyio.to_thread.run_sync(_all, look(settings)):
            yield finding


def _all(findings: Iterator[Finding]) -> list[Finding]:
    return list(findings)

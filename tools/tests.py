"""Run every test: most in five processes, then those in a browser, then those that measure a service, in two.

A few tests that fail are run again, alone. This module is a plugin of pytest too, which tells the death of a
process from a test that failed.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import pytest

BROWSER = "tests/browser"
"""Tests that run a browser. Two browsers keep two cores busy."""

LAST = (
    "tests/torture/sources",
    "tests/torture/databases",
    "tests/torture/clients/test_clients.py",
    "tests/torture/soak",
)
"""Tests that measure how fast a service is: they run two at a time when the others have ended."""

MOST = 10
"""Failed tests that are run again. If more fail, the cause is not what ran beside them."""

SILENCE = 600.0
"""Seconds without a line after which pytest is ended. Each test has 240 s, and so has its set-up."""

_NICENESS = 16
_RECORD = Path(".pytest_cache/v/cache/lastfailed")
_PASSED, _FAILED, _DIED = 0, 1, 3  # of pytest.ExitCode; 3 is its INTERNAL_ERROR


@dataclass(frozen=True)
class Outcome:
    """The exit status of a run of pytest, and the last line that it printed: its summary."""

    status: int
    summary: str


PHASES = (
    ("-n", "5", *(f"--ignore={path}" for path in (BROWSER, *LAST))),
    ("-n", "2", BROWSER),
    ("-n", "2", *LAST),
)
"""The arguments of each run of pytest. Many tests mostly wait, so more run than there are cores."""


def is_repeated(outcomes: Sequence[Outcome], failed: int) -> bool:
    """Decide whether the `failed` tests are run again: they are few, and every run came to its end."""
    statuses = {outcome.status for outcome in outcomes}
    return _FAILED in statuses and statuses <= {_PASSED, _FAILED} and 0 < failed <= MOST


def run_all(phases: Sequence[Sequence[str]], silence: float = SILENCE) -> int:
    """Run pytest with the arguments of each phase, and a few failed tests again. Return the exit status.

    A run of pytest that prints nothing for `silence` seconds is ended, with all that it started.

    All phases run, whatever fails. The last line printed is pytest's summary: that of the repetition, or of
    the first phase that failed.
    """
    _RECORD.unlink(missing_ok=True)
    interruptions: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interruptions.append(number))  # pytest ends by itself
    outcomes = []
    for arguments in phases:
        outcomes.append(_run(arguments, silence))
        if interruptions:
            return outcomes[-1].status
    failed = len(json.loads(_RECORD.read_text())) if _RECORD.exists() else 0
    if is_repeated(outcomes, failed):
        subject = "1 test failed; it is" if failed == 1 else f"{failed} tests failed; they are"
        print(f"\n{subject} run again alone, because this machine may have been busy.", flush=True)
        return _run(("-n", "1", "--last-failed", "--last-failed-no-failures", "none"), silence).status
    worst = next((outcome for outcome in outcomes if outcome.status), outcomes[-1])
    if worst is not outcomes[-1]:
        print(worst.summary, flush=True)
    return worst.status


def _run(arguments: Sequence[str], silence: float) -> Outcome:
    """Run pytest, and pass on what it prints.

    It is nearly as nice as the service's threads for decoding are, which would otherwise give way to other
    tests; and a little less, so that these threads can be told from others.
    """
    more = max(0, _NICENESS - os.nice(0))
    command = ["nice", "-n", str(more), sys.executable, "-m", "pytest", "-p", "tools.tests"]
    command += ["--max-worker-restart", "0", f"--color={'yes' if sys.stdout.isatty() else 'auto'}"]
    reading, writing = os.pipe()
    with subprocess.Popen([*command, *arguments], stdout=writing, stderr=writing) as process:
        os.close(writing)
        end = pass_on(reading, process, silence)
    os.close(reading)
    return Outcome(process.returncode, end.decode(errors="replace").rstrip().rpartition("\n")[2])


def pass_on(pipe: int, process: subprocess.Popen[bytes], silence: float) -> bytes:
    """Print what comes out of a pipe until the process that writes to it ends, and return the end of that.

    What the process started and left behind does not matter, though it may hold the pipe. If it writes
    nothing for `silence` seconds, it is killed.
    """
    end = b""
    written = monotonic()
    while True:
        if select.select([pipe], [], [], 0.2)[0]:
            part = os.read(pipe, 2**16)
            sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
            end = (end + part)[-1000:]
            written = monotonic()
            if not part:
                return end
        elif process.poll() is not None:
            return end
        elif monotonic() - written > silence:
            end_all(process.pid)
            process.wait()
            end = f"\n{silence:.0f} s without a line: these tests hang, and were ended.".encode()
            print(end.decode(), flush=True)
            return end


def end_all(root: int) -> None:
    """Kill a process and all that descend from it, in any process group."""
    process = psutil.Process(root)
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


_crashed: list[str] = []


def pytest_testnodedown(error: object) -> None:
    """Remember that one of the processes died (a hook of pytest-xdist)."""
    if error:
        _crashed.append(str(error))


def pytest_runtest_logreport(report: "pytest.TestReport") -> None:
    """Name a test that failed at once: pytest itself names it at the end, to which a run may not come."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} failed ({report.when})", flush=True)


def pytest_sessionfinish(session: "pytest.Session") -> None:
    """End with another exit status than that of failed tests if a process died: some tests did not run."""
    if _crashed:
        session.exitstatus = _DIED


if __name__ == "__main__":
    sys.exit(run_all(PHASES))

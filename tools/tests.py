"""Run every test: most of them in three processes, then those that measure, one after the other.

A few tests that fail are run again, alone. This module is a plugin of pytest too, which tells the death of a
process from a test that failed.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ALONE = (
    "tests/torture/clients/test_clients.py",
    "tests/torture/databases",
    "tests/torture/media/test_media.py",
    "tests/torture/media/test_playlists.py",
    "tests/torture/openings",
    "tests/torture/soak",
    "tests/torture/sources",
    "tests/video/test_live_playlists.py",
    "tests/video/transport/test_snapshots.py",
)
"""Tests that measure time, memory or threads: they run one after the other, when the others have ended."""

MOST = 5
"""Failed tests that are run again. If more fail, the cause is not what ran beside them."""

_RECORD = Path(".pytest_cache/v/cache/lastfailed")
_PASSED, _FAILED, _DIED = 0, 1, 3  # of pytest.ExitCode; 3 is its INTERNAL_ERROR


@dataclass(frozen=True)
class Phase:
    """A run of pytest: its arguments, and how far it gives way to other processes (0 to 19)."""

    arguments: Sequence[str]
    niceness: int = 0


@dataclass(frozen=True)
class Outcome:
    """The exit status of a run of pytest, and the last line that it printed: its summary."""

    status: int
    summary: str


# Tests that run beside others have the nicest priority, because the service's threads for decoding have it
# too, and would otherwise give way to the other tests.
PHASES = (
    Phase(("-n", "3", *(f"--ignore={path}" for path in ALONE)), niceness=19),
    Phase(("-n", "1", *ALONE)),
)


def is_repeated(outcomes: Sequence[Outcome], failed: int) -> bool:
    """Decide whether the `failed` tests are run again: they are few, and every run came to its end."""
    statuses = {outcome.status for outcome in outcomes}
    return _FAILED in statuses and statuses <= {_PASSED, _FAILED} and 0 < failed <= MOST


def run_all(phases: Sequence[Phase]) -> int:
    """Run each phase, whatever fails, and repeat a few failed tests. Return the exit status.

    The last line printed is pytest's summary: that of the repetition, or of the first phase that failed.
    """
    _RECORD.unlink(missing_ok=True)
    interruptions: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interruptions.append(number))  # pytest ends by itself
    outcomes = []
    for phase in phases:
        outcomes.append(_run(phase))
        if interruptions:
            return outcomes[-1].status
    failed = len(json.loads(_RECORD.read_text())) if _RECORD.exists() else 0
    if is_repeated(outcomes, failed):
        subject = "1 test failed; it is" if failed == 1 else f"{failed} tests failed; they are"
        print(f"\n{subject} run again alone, because this machine may have been busy.", flush=True)
        return _run(Phase(("-n", "1", "--last-failed", "--last-failed-no-failures", "none"))).status
    worst = next((outcome for outcome in outcomes if outcome.status), outcomes[-1])
    if worst is not outcomes[-1]:
        print(worst.summary, flush=True)
    return worst.status


def _run(phase: Phase) -> Outcome:
    """Run pytest, and pass on what it prints."""
    command = ["nice", "-n", str(phase.niceness), sys.executable, "-m", "pytest", "-p", "tools.tests"]
    command += ["--max-worker-restart", "0", f"--color={'yes' if sys.stdout.isatty() else 'auto'}"]
    end = b""
    reading, writing = os.pipe()
    with subprocess.Popen([*command, *phase.arguments], stdout=writing) as process:
        os.close(writing)
        while part := os.read(reading, 2**16):
            sys.stdout.buffer.write(part)
            sys.stdout.buffer.flush()
            end = (end + part)[-1000:]
    os.close(reading)
    return Outcome(process.returncode, end.decode(errors="replace").rstrip().rpartition("\n")[2])


_crashed: list[str] = []


def pytest_testnodedown(error: object) -> None:
    """Remember that one of the processes died (a hook of pytest-xdist)."""
    if error:
        _crashed.append(str(error))


def pytest_sessionfinish(session: "pytest.Session") -> None:
    """End with another exit status than that of failed tests if a process died: some tests did not run."""
    if _crashed:
        session.exitstatus = _DIED


if __name__ == "__main__":
    sys.exit(run_all(PHASES))

"""`make test`: what is run again, and that neither a real fault nor a dead process passes."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.clips import marker_clip
from tests.support.paths import ROOT
from tools.tests import BROWSER, LAST, MOST, Outcome, is_repeated, pass_on

ENDED = Outcome(0, "3 passed")
FAILED = Outcome(1, "1 failed, 2 passed")


@pytest.mark.parametrize(
    ("outcomes", "failed", "is_again"),
    [
        ([ENDED, ENDED], 0, False),
        ([FAILED, ENDED], 1, True),
        ([ENDED, FAILED], MOST, True),
        ([FAILED, FAILED], MOST + 1, False),
        ([FAILED, Outcome(2, "interrupted")], 1, False),
        ([FAILED, Outcome(3, "a process died")], 2, False),
        ([FAILED, Outcome(-9, "killed")], 1, False),
        ([FAILED, ENDED], 0, False),
    ],
)
def test_a_few_failures_are_run_again_if_every_run_came_to_its_end(
    outcomes: list[Outcome], failed: int, is_again: bool
) -> None:
    assert is_repeated(outcomes, failed) is is_again


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="needs Linux's scheduling")
def test_writing_a_clip_makes_no_test_a_real_time_process(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    marker_clip(tmp_path / "clip.mp4", frames=3, codec="av1")
    assert os.sched_getscheduler(0) == before


# Without the plug-ins that these tests do not need, pytest starts in a third of a second.
_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "xdist.plugin",
}


def run_all(folder: Path, *bodies: str) -> tuple[int, str]:
    """Run one phase for each body of a test, in `folder`. Return the exit status, and what was printed."""
    for number, body in enumerate(bodies):
        (folder / f"test_{number}.py").write_text(body)
    program = (
        "from tools.tests import run_all\n"
        f"raise SystemExit(run_all([('-n', '1', f'test_{{n}}.py') for n in range({len(bodies)})]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.rstrip()


FAILS_ONCE = """
from pathlib import Path
def test_it():
    mark = Path("mark")
    was_there = mark.exists()
    mark.touch()
    assert was_there
"""
PASSES = "def test_it():\n    pass\n"
FAILS = "def test_it():\n    assert False\n"
DIES = "import os\ndef test_it():\n    os._exit(1)\n"


def test_a_test_that_failed_once_passes(tmp_path: Path) -> None:
    status, said = run_all(tmp_path, FAILS_ONCE)
    assert "1 test failed; it is run again alone" in said
    assert "1 passed" in said.splitlines()[-1]
    assert status == 0


def test_a_test_that_fails_twice_fails(tmp_path: Path) -> None:
    status, said = run_all(tmp_path, FAILS_ONCE, FAILS)
    assert "test_1.py::test_it failed (call)" in said
    assert "2 tests failed; they are run again alone" in said
    assert "1 failed, 1 passed" in said.splitlines()[-1]
    assert status == 1


def test_a_process_that_dies_fails_and_what_comes_after_it_runs(tmp_path: Path) -> None:
    status, said = run_all(tmp_path, DIES, PASSES)
    assert "run again" not in said
    assert "1 passed" in said
    assert "1 failed" in said.splitlines()[-1]
    assert status == 3


def pass_on_all(program: str, silence: float) -> tuple[bytes, subprocess.Popen[bytes]]:
    """Pass on what a program of the shell writes. Return the end of that, and the process."""
    reading, writing = os.pipe()
    with subprocess.Popen(["sh", "-c", program], stdout=writing) as process:
        os.close(writing)
        end = pass_on(reading, process, silence)
    os.close(reading)
    return end, process


def test_a_process_that_a_test_left_behind_holds_nobody_up() -> None:
    end, process = pass_on_all("sleep 1000 & echo $!", 600)
    os.kill(int(end), signal.SIGKILL)
    assert process.returncode == 0


def test_a_run_that_hangs_ends_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    end, process = pass_on_all(f"setsid sleep 1000 & echo $! > {pid}; wait", 5)
    assert end.decode().strip() == "5 s without a line: these tests hang, and were ended."
    assert process.returncode == -signal.SIGKILL
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(pid.read_text())).wait(60)


def test_what_runs_apart_is_there() -> None:
    assert [path for path in (BROWSER, *LAST) if not (ROOT / path).exists()] == []

"""`make test`: what is run again, and that neither a real fault nor a dead process passes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.paths import ROOT
from tools.tests import BROWSER, LAST, MOST, Outcome, end_all, is_repeated, read_within

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


def test_a_silent_pipe_is_told_from_its_end() -> None:
    reading, writing = os.pipe()
    assert read_within(reading, 0.01) is None
    os.write(writing, b"a line")
    assert read_within(reading, 60) == b"a line"
    os.close(writing)
    assert read_within(reading, 60) == b""
    os.close(reading)


def test_a_run_that_hangs_ends_with_all_that_it_started() -> None:
    program = "setsid sleep 1000 & echo $!; wait"
    with subprocess.Popen(["sh", "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        descendant = psutil.Process(int(process.stdout.readline()))
        end_all(process.pid)
        assert process.wait(60) == -signal.SIGKILL
        psutil.wait_procs([descendant], timeout=60)
        assert not descendant.is_running() or descendant.status() == psutil.STATUS_ZOMBIE


def test_what_runs_apart_is_there() -> None:
    assert [path for path in (BROWSER, *LAST) if not (ROOT / path).exists()] == []

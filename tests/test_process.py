"""What is set for the whole process."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")

CRASH = """
import os, resource
{guard}
print(resource.getrlimit(resource.RLIMIT_CORE)[1] in (0, 1), flush=True)
os.abort()
"""


def crash(guard: str) -> str:
    """Return what a process says before it crashes, which may be allowed to leave a core dump."""
    program = subprocess.run(
        [sys.executable, "-c", CRASH.format(guard=guard)], cwd=ROOT, capture_output=True, text=True
    )
    assert program.returncode < 0
    return program.stdout.strip()


def test_a_crash_leaves_no_core_dump() -> None:
    assert crash("from app.process import configure_process; configure_process()") == "True"


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can raise the limit")
def test_without_the_limit_a_crash_may_leave_one() -> None:
    assert crash("resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))") == "False"

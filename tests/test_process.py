"""What is set for the whole process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")

CRASH = """
import os, resource
{guard}
print(resource.getrlimit(resource.RLIMIT_CORE)[1] in (0, 1), flush=True)
os.abort()
"""


def crash(folder: Path, guard: str) -> str:
    """Return what a process says before it crashes in `folder`, where it may leave a core dump."""
    program = subprocess.run(
        [sys.executable, "-c", CRASH.format(guard=guard)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert program.returncode < 0
    return program.stdout.strip()


def test_a_crash_leaves_no_core_dump(tmp_path: Path) -> None:
    configure = "from app.process import configure_process; configure_process()"
    of_imports = "import gc; assert gc.get_freeze_count() > 10_000"  # which no collection looks at again
    assert crash(tmp_path, f"{configure}; {of_imports}") == "True"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can raise the limit")
def test_without_the_limit_a_crash_may_leave_one(tmp_path: Path) -> None:
    assert crash(tmp_path, "resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))") == "False"

"""How many cores the process may use."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.concurrency.cores import usable_cores
from tests.support.paths import ROOT

CORES = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/", {"cpu.max": "100000 100000"}, 1),  # a container's own view, cgroups version 2
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/", {"cpu.max": "max 100000"}, CORES),
        ("0::/a/b", {"a/cpu.max": "90000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("0::/a/b", {"cpu.max": "100000000 100000"}, CORES),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x",
            {"cpu/x/cpu.cfs_quota_us": "100000", "cpu/x/cpu.cfs_period_us": "100000"},
            1,
        ),
        ("3:cpu,cpuacct:/host", {"cpu/cpu.cfs_quota_us": "70000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("3:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, CORES),
        ("0::/", {}, CORES),
        (None, {}, CORES),
    ],
)
def test_a_quota_of_any_cgroup_around_the_process_counts(
    tmp_path: Path, own: str | None, files: dict[str, str], cores: int
) -> None:
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    membership = tmp_path / "own"
    if own is not None:
        membership.write_text(own + "\n")
    assert usable_cores(tmp_path / "cgroup", membership) == cores


def test_a_process_that_is_bound_to_one_core_uses_one() -> None:
    script = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        " from app.concurrency.cores import usable_cores; print(usable_cores())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True)
    assert done.stdout == b"1\n"

"""How many CPU cores this process may use, which in a container can be fewer than the machine has."""

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path, PurePosixPath


def usable_cores(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Return the cores that the CPU affinity and the quotas of the process's cgroups allow, rounded up."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *map(ceil, _quotas(cgroups, own))]))


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """Yield the cores that each cgroup around this process allows, of version 1 and 2."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = cgroups / "cpu" if controllers else cgroups
        for folder in (PurePosixPath(name), *PurePosixPath(name).parents):
            yield from _quota(root / folder.relative_to("/"))


def _quota(folder: Path) -> Iterator[float]:
    """Yield the quota that a cgroup's folder holds, in cores, if there is one."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = map(int, (folder / "cpu.max").read_text().split())
        else:
            quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):  # ValueError: `max`, no quota
        return
    if quota > 0 and period > 0:
        yield quota / period

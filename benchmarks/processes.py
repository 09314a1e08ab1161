"""CPU seconds and memory of a service, its decoders and its database server."""

import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.service import ServiceProcess


def own_cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    who = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in who)


def of_service(service: ServiceProcess) -> list[psutil.Process]:
    """Return the service's process and its descendants."""
    process = psutil.Process(service.process.pid)
    return [process, *process.children(recursive=True)]


def of_server(folder: Path) -> list[psutil.Process]:
    """Return the embedded database server of the service in `folder`, and its backends."""
    pid = next(folder.glob("data/**/postmaster.pid")).read_text().partition("\n")[0]
    process = psutil.Process(int(pid))
    return [process, *process.children(recursive=True)]


def cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of the processes so far, including their ended children."""
    return sum(sum(times) for times in _each(processes))


def exact_cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of processes of one thread each, exactly if the system is Linux.

    `cpu` counts in hundredths of a second.
    """
    try:
        spent = [Path(f"/proc/{each.pid}/schedstat").read_text().split()[0] for each in processes]
    except OSError:
        return cpu(processes)
    return sum(map(int, spent)) / 1e9


def _each(processes: list[psutil.Process]) -> Iterator[tuple[float, ...]]:
    for process in processes:
        try:
            yield process.cpu_times()[:4]
        except psutil.NoSuchProcess:
            continue


def memory(processes: list[psutil.Process]) -> int:
    """Return the bytes of memory; pages shared by several of the processes are counted once."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total

"""A crash of the service, or of its children, leaves no core dump, which would hold keys and passwords.

The limits are read from the kernel. They are read again of a service without the guard.
"""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.service import ServiceProcess, running
from tests.torture.battery import Battery

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")

ROW = 17


@pytest.fixture(autouse=True)
def core_dumps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process, from which the service inherits, leave core dumps of any size."""
    monkeypatch.setattr(ServiceProcess, "may_fork", False)  # a fork inherits from another process
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard != resource.RLIM_INFINITY:
        pytest.skip("core dumps are limited already")
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


async def count_dumping(folder: Path, app: str) -> tuple[int, int]:
    """Return how many processes of a service there are, and how many of them would leave a core dump."""
    async with running(folder, app=app, decoding="process") as service:
        parent = psutil.Process(service.process.pid)
        source = "test:testsrc2?size=64x48&rate=5&live=true"
        await service.reaches(await service.create(source, {"type": "mock"}), "active")
        processes = [parent, *parent.children(recursive=True)]
        names = {" ".join(process.cmdline()) for process in processes}
        assert any("app.video.decoder.child" in name for name in names)
        assert any("postgres" in name for name in names)
        limits = [core_limit(each.pid) for each in processes if each.is_running()]
    return len(limits), sum(limit not in ("0", "1") for limit in limits)


def core_limit(pid: int) -> str:
    """Return how many bytes a core dump of a process may have, as the kernel shows it."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max core file size")).split()[4]


@pytest.mark.timeout(120)
async def test_no_process_leaves_a_core_dump(tmp_path: Path, battery: Battery) -> None:
    found, dumping = await count_dumping(tmp_path, "app.main:app")
    assert dumping == 0
    battery.passed(
        ROW, "core dumps of the service and its children", f"{found} processes", "0 would leave one"
    )


@pytest.mark.timeout(120)
async def test_core_dumps_would_be_noticed(tmp_path: Path, battery: Battery) -> None:
    found, dumping = await count_dumping(tmp_path, "tests.torture.crash.services:with_core_dumps")
    assert dumping > 0
    battery.unguarded(ROW, "the limit on core dumps", f"{found} processes", f"{dumping} would leave one")

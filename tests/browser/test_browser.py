"""The browser that the tests of this folder control gets no more of a busy machine than they do."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Browser


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_no_thread_of_the_browser_raises_its_priority(browser: Browser) -> None:
    assert min(nicenesses()) >= os.nice(0)


def nicenesses() -> list[int]:
    """Return the niceness of each thread of the browser (the 17th field after its name: proc_pid_stat(5))."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if not process.name().startswith("chrom"):
                continue
        for stat in Path(f"/proc/{process.pid}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                found.append(int(stat.read_text().rpartition(")")[2].split()[16]))
    return found

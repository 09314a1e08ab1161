"""The browser that the tests of this folder control gets no more of a busy machine than they do."""

import os
import sys
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Browser


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_no_thread_of_the_browser_raises_its_priority(browser: Browser) -> None:
    threads = [
        stat
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith("chrom")
        for stat in Path(f"/proc/{process.pid}/task").glob("*/stat")
    ]
    assert threads
    assert min(niceness(stat) for stat in threads) >= os.nice(0)


def niceness(stat: Path) -> int:
    """Return the niceness of a thread. Its name, which may hold spaces, ends with the last bracket."""
    return int(stat.read_text().rpartition(")")[2].split()[16])

"""The service in processes that are forked from one which has imported its modules.

Importing them takes a second of CPU time, which the tests would otherwise spend some 300 times.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import ForkServerContext
from pathlib import Path
from subprocess import TimeoutExpired
from threading import Lock, Thread
from typing import Any

from tests.support.paths import ROOT

_PRELOADED = ["uvicorn.main", "app.service"]


class ForkedProcess:
    """A process that runs `python -m uvicorn` with these options, used as `subprocess.Popen` is."""

    def __init__(
        self, options: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._process = _context().Process(
            target=_run, args=(list(options), str(folder), dict(environment), str(log)), daemon=True
        )
        self._lock = Lock()  # only one thread may read the exit status
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.returncode: Any = None  # as in Popen: an int, or None while it runs

    def poll(self) -> int | None:
        """Return the exit status; None if it runs."""
        with self._lock:
            status = self.returncode = self._process.exitcode
        return status

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status once it ended. Raises TimeoutExpired after `timeout` seconds."""
        deadline = time.monotonic() + (3600.0 if timeout is None else timeout)
        while (status := self.poll()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutExpired(f"process {self.pid}", timeout or 3600.0)
            connection.wait([self._process.sentinel], left)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal if it runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL if it runs."""
        self.send_signal(signal.SIGKILL)


@cache
def _context() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


def _run(options: list[str], folder: str, environment: dict[str, str], log: str) -> None:
    """Do in a new process what `python -m uvicorn` does in this folder and environment.

    It ends with the process of the tests, however that ends: what it has open would keep others waiting.
    """
    Thread(target=_end_with_parent, daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = [folder, str(ROOT), *(path for path in sys.path if path not in ("", folder, str(ROOT)))]
    sys.argv = ["uvicorn", *options]
    from uvicorn.main import main

    main(options)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)

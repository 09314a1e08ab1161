"""The service and the command in processes that are forked from one which has imported their modules.

Importing them takes a second of CPU time, which the tests would otherwise spend some 300 times.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import ForkServerContext
from pathlib import Path
from subprocess import TimeoutExpired
from threading import Lock, Thread
from typing import Any

from tests.support.paths import ROOT

_PRELOADED = ["uvicorn.main", "app.service", "app.command.analysing.running"]


class ForkedProcess:
    """A process that runs `python -m uvicorn` with these options, used as `subprocess.Popen` is.

    `main` is another module to run, by its function of that name. It writes to `log`, and errors to `errors`
    if that is given.
    """

    def __init__(
        self,
        options: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        *,
        main: str = "uvicorn.main",
        errors: Path | None = None,
    ) -> None:
        arguments = (main, list(options), str(folder), dict(environment), str(log), str(errors or log))
        self._process = _context().Process(target=_run, args=arguments, daemon=True)
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


def _run(
    module: str, options: list[str], folder: str, environment: dict[str, str], log: str, errors: str
) -> None:
    """Do in a new process what `python -m` does with the module in this folder and environment.

    It ends with the process of the tests, however that ends: what it has open would keep others waiting.
    """
    Thread(target=_end_with_parent, daemon=True).start()
    for number, name in ((1, log), (2, errors)):
        output = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(output, number)
        os.close(output)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:] = [folder, str(ROOT), *(path for path in sys.path if path not in ("", folder, str(ROOT)))]
    sys.argv = [module, *options]
    import_module(module).main()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)

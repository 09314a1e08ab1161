"""From the start of an installed service until it is ready, against what it needs: libraries and a database.

The data folder has been used before, and the bytecode of all modules is there, as in an installed checkout.
The reference imports the libraries that the service imports, in a process of its own, and then starts the
same database server and connects to it.
"""

import os
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from anyio import sleep, to_thread

from app.postgres.embedded.server import embedded_server
from benchmarks.idle import service_libraries
from benchmarks.table import Row, alternate, at_most, command
from tests.support.paths import ROOT
from tests.support.service import ServiceProcess


async def of_service(folder: Path) -> float:
    """Return the seconds until a service is ready."""
    service = ServiceProcess(folder)
    try:
        began = time.perf_counter()
        service.launch()
        while service.process.poll() is None and not _listens(service.port):  # noqa: ASYNC110 - another process
            await sleep(0.002)
        await service.ready()
        return time.perf_counter() - began
    finally:
        await service.end()


def _listens(port: int) -> bool:
    """Return whether a service listens, which it does once it is ready.

    `ServiceProcess.ready` alone would look ten times a second by then.
    """
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def bare(folder: Path, libraries: list[str]) -> float:
    """Return the seconds to import the libraries, and then to start the database server."""
    script = f"import importlib; [importlib.import_module(name) for name in {libraries}]"
    began = time.perf_counter()
    await to_thread.run_sync(partial(subprocess.run, [sys.executable, "-c", script], check=True, cwd=ROOT))
    async with embedded_server(folder / "data" / "postgres", databases=["scenarios", "predictions"]):
        return time.perf_counter() - began


async def measure(rounds: int) -> list[Row]:
    """Alternate between a service and what it needs, `rounds` times."""
    libraries = service_libraries()
    with TemporaryDirectory() as name, patch.dict(os.environ, PYTHONPYCACHEPREFIX=f"{name}/bytecode"):
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        folder = Path(name)
        await of_service(folder)  # makes the databases, and the bytecode
        await bare(folder, libraries)
        service, reference = await alternate(
            rounds, partial(of_service, folder), partial(bare, folder, libraries)
        )
    return [Row("", "from the start to a ready service", "s", service, reference, at_most(1.5))]


if __name__ == "__main__":
    command(__doc__, measure, rounds=7)

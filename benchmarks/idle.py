"""What a service costs that has nothing to do, against the same libraries, event loop and server left alone.

The reference imports the libraries that the service imports, and serves an empty application on the same
event loop. The reference of the database is a server with the same two databases, to which nobody connects.
CPU time is that of a second, and includes that of PostgreSQL's own workers.
"""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from anyio import sleep

from app.postgres.embedded.server import embedded_server
from benchmarks.processes import cpu, exact_cpu, memory, of_server
from benchmarks.table import Goal, Row, alternate, at_most, command
from tests.support.paths import ROOT
from tests.support.service import running

SECONDS = 30.0
_WARM_UP = 10.0


def service_libraries() -> list[str]:
    """Return the modules that the service imports, without its own."""
    script = "import sys, app.service; print(*(name for name in sys.modules if name.split('.')[0] != 'app'))"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, stdout=PIPE, text=True)
    return [name for name in found.stdout.split() if not name.startswith("__")]


def left_alone() -> Callable[..., Awaitable[None]]:
    """Make the application of the reference, and import the libraries that the service imports."""
    for name in service_libraries():
        import_module(name)
    return _answer_nothing


async def _answer_nothing(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
    while scope["type"] == "lifespan":
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            break


async def of_process(folder: Path, app: str) -> tuple[float, float, float]:
    """Return ms of CPU in a second and MiB of the process, and ms of CPU in a second of its database."""
    with TemporaryDirectory(dir=folder) as name:
        async with running(Path(name), app=app) as service:
            process = [psutil.Process(service.process.pid)]
            has_database = app == "app.main:app"
            spent, of_database = await _spend(process, Path(name) if has_database else None)
            return spent, memory(process) / 2**20, of_database


async def of_server_alone(folder: Path) -> float:
    """Return ms of CPU in a second of a server that nobody uses."""
    with TemporaryDirectory(dir=folder) as name:
        data = Path(name) / "data" / "postgres"
        async with embedded_server(data, databases=["scenarios", "predictions"]):
            return (await _spend([], Path(name)))[1]


async def _spend(process: list[psutil.Process], folder: Path | None) -> tuple[float, float]:
    await sleep(_WARM_UP)
    before = cpu(process), _of_database(folder)
    await sleep(SECONDS)
    after = cpu(process), _of_database(folder)
    spent, of_database = [1000 * (late - early) / SECONDS for early, late in zip(before, after, strict=True)]
    return spent, of_database


def _of_database(folder: Path | None) -> float:
    if folder is None:
        return 0.0
    server, *backends = of_server(folder)
    times = server.cpu_times()
    ended: float = times.children_user + times.children_system
    return exact_cpu([server]) + exact_cpu(backends) + ended


async def measure(rounds: int) -> list[Row]:
    """Alternate between a service and what it consists of, `rounds` times."""
    figures: dict[str, list[tuple[float, float, float]]] = {"service": [], "alone": []}

    async def one(kind: str, app: str, folder: Path) -> float:
        figures[kind].append(await of_process(folder, app))
        return 0.0

    with TemporaryDirectory() as name:
        folder = Path(name)
        _, _, server_alone = await alternate(
            rounds,
            partial(one, "service", "app.main:app", folder),
            partial(one, "alone", "benchmarks.idle:left_alone", folder),
            partial(of_server_alone, folder),
        )
    service, alone = _medians(figures["service"]), _medians(figures["alone"])
    return [
        Row(
            "",
            "a service with nothing to do: its process",
            "ms/s",
            service[0],
            alone[0],
            Goal("≤", 0.0, 10.0),
        ),
        Row("", "… its database server", "ms/s", service[2], server_alone, Goal("≤", 0.0, 5.0)),
        Row("", "… its memory, against its libraries alone", "MiB", service[1], alone[1], at_most(1.2)),
    ]


def _medians(figures: list[tuple[float, float, float]]) -> list[float]:
    return [sorted(column)[len(column) // 2] for column in zip(*figures, strict=True)]


if __name__ == "__main__":
    command(__doc__, measure)

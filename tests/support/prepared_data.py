"""The data folder of a service that has started once, for services of tests to start with.

Creating the databases and bringing their schemas up to date takes most of a first start.
"""

import os
import shutil
import subprocess
from fcntl import LOCK_EX, flock
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from app.postgres import migrate
from app.postgres.embedded.server import embedded_server
from app.resources import PREDICTIONS, SCENARIOS
from tests.support.kept_clips import FOLDER


def prepare_data(data: Path) -> None:
    """Copy it to `data` unless that exists. It is made once in a session, and without one not at all."""
    session = os.environ.get(FOLDER)
    if session is None or data.exists():
        return
    original = Path(session) / "prepared-data"
    with original.with_suffix(".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not original.exists():
            _make(original)
    copied = data / "prepared"
    copied.mkdir(mode=0o700, parents=True, exist_ok=True)
    # With its owner, and without the locks of the server that made it.
    subprocess.run(["cp", "--archive", "--sparse=always", str(original / "data"), str(copied)], check=True)
    try:
        copied.rename(data / "postgres")  # whole, or not at all
    except OSError:  # another process of the same fleet has begun to make its own
        shutil.rmtree(copied)


def _make(original: Path) -> None:
    unfinished = original.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with start_blocking_portal() as portal:
        portal.call(_start_once, unfinished)
    unfinished.rename(original)


async def _start_once(folder: Path) -> None:
    specs = (SCENARIOS, PREDICTIONS)
    async with embedded_server(folder, databases=[spec.name for spec in specs]) as server:
        for spec in specs:
            await migrate(server.dsn(spec.name), spec.package)

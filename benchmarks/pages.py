"""GET requests per second, compared with a bare Litestar route that returns the same bytes.

Each is served by one uvicorn process without access logs, over the same number of connections.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from anyio import run_process

from benchmarks.table import Row, alternate, at_least, command
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.service import running
from tests.support.waiting import until

FRAMES = 1000


@asynccontextmanager
async def bare(folder: Path, body: bytes) -> AsyncIterator[int]:
    """Yield the port of a bare application that answers with `body`."""
    file = folder / f"{len(body)}.json"
    file.write_bytes(body)
    port = free_port()
    with subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-m", "uvicorn", "benchmarks.bare:app", "--port", str(port)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "BARE_FILE": str(file)},
        cwd=folder,
    ) as process:
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:

                async def same() -> bool:
                    try:
                        return (await http.get("/")).content == body
                    except httpx.TransportError:
                        return False

                await until(same)
            yield port
        finally:
            process.terminate()


async def rate(port: int, path: str) -> float:
    """Return the answers per second."""
    result = await run_process(
        [sys.executable, "-m", "benchmarks.requests", str(port), path], cwd=ROOT, stderr=None
    )
    return float(result.stdout)


async def measure(rounds: int) -> list[Row]:
    """Alternate between the service and the bare application, `rounds` times for each page."""
    os.environ |= {"UVICORN_ACCESS_LOG": "false", "UVICORN_LOG_LEVEL": "warning"}
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with running(folder) as service:
            scenario_id = await service.create(
                f"test:testsrc2?duration={FRAMES // 25 + 10}&size=320x180",
                {"type": "mock", "max_detections": 9},
                sampling={"mode": "all"},
            )
            await service.ends(scenario_id)
            one = f"/scenarios/{scenario_id}"
            for path, goal, what in (
                (one, 0.6, "one scenario"),
                (f"{one}/predictions?limit={FRAMES}", 0.4, "a page of 1,000 predictions"),
            ):
                answer = (await service.http.get(path)).raise_for_status()
                async with bare(folder, answer.content) as port:
                    served, reference = await alternate(
                        rounds,
                        partial(rate, service.port, path),
                        partial(rate, port, "/"),
                    )
                size = f"{len(answer.content):,} bytes"
                rows.append(
                    Row("8", f"GET {what}, ended", "requests/s", served, reference, at_least(goal), size)
                )
    return rows


if __name__ == "__main__":
    command(__doc__, measure)

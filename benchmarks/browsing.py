"""A page of pictures of fifty cameras, as a browser loads it, compared with fifty scenarios as JSON.

Fifty live test patterns are sampled twice a second. A page asks for the picture of each over six connections,
once a second, as somebody does who watches them. The first page is not measured: runners take no pictures
before somebody asks for them.
"""

import time
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import httpx

from benchmarks.table import Row, command
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until

CAMERAS = 50
CONNECTIONS = 6  # of a browser to one service
PAGES = 10  # per round
SOURCE = "test:testsrc2?size=640x360&rate=4&live=true"


async def is_there(service: ServiceProcess, path: str) -> bool:
    return (await service.http.get(path)).status_code == 200


async def page(service: ServiceProcess, paths: list[str]) -> float:
    """Return the seconds until every path was answered."""
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=service.http.base_url, timeout=60, limits=limits) as browser:

        async def load(path: str) -> None:
            answer = await browser.get(path)
            assert answer.status_code == 200, answer.text

        began = time.perf_counter()
        async with anyio.create_task_group() as group:
            for path in paths:
                group.start_soon(load, path)
        return time.perf_counter() - began


async def measure(rounds: int) -> list[Row]:
    """Alternate between pages of pictures and pages of JSON."""
    pictures: list[float] = []
    documents: list[float] = []
    with TemporaryDirectory() as name:
        async with running(Path(name), runner_slots=CAMERAS) as service:
            sampling = {"mode": "fps", "fps": 2}
            ids = [await service.create(SOURCE, {"type": "mock"}, sampling=sampling) for _ in range(CAMERAS)]
            for scenario_id in ids:
                await service.reaches(scenario_id, "active", timeout=120)
            shown = [f"/scenarios/{each}/frame.jpg" for each in ids]
            told = [f"/scenarios/{each}" for each in ids]
            for path in shown:
                await until(partial(is_there, service, path), timeout=60)
            for _ in range(rounds):
                for _ in range(PAGES):
                    pictures.append(await page(service, shown))
                    documents.append(await page(service, told))
                    await anyio.sleep(1)
    return [
        Row(
            "18",
            f"a page of {CAMERAS} pictures of {CAMERAS} cameras, against JSON of each",
            "s",
            median(pictures),
            median(documents),
        )
    ]


if __name__ == "__main__":
    command(__doc__, measure, rounds=2)

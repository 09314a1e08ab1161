"""GET latency while twenty people watch pages, compared with the same service when nobody does.

Ten live test patterns run all the time. Half of the viewers have the overview open, the others the page of
a live source: clients in a process of their own send what these pages send. Percentiles are over all requests
of all rounds, which are those of row 12.
"""

import multiprocessing
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import anyio
import httpx

from benchmarks.api_latency import ask
from benchmarks.table import Row, at_most, command
from tests.support.service import running

VIEWERS = 20
CAMERAS = 10
SOURCE = "test:testsrc2?size=640x360&rate=4&live=true"
CONNECTIONS = 6  # of a browser to one service
LEAST = 1.0  # seconds between two reads of a list, and between two pictures of a tile
TILES = 1 / 6  # seconds between two pictures of all tiles
SLOW = 5.0  # seconds between two reads of a timeline
TILE_WIDTH = 320  # pixels, of a tile that is shown at up to 350
SETTLE = 5.0  # seconds after which every viewer watches


async def lines_of(http: httpx.AsyncClient) -> AsyncIterator[str]:
    """Yield the lines of the stream of changes."""
    async with http.stream("GET", "/stream", timeout=60) as stream:
        async for line in stream.aiter_lines():
            yield line


async def repeat(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    """Do the work for ever, at most once in so many seconds, as pages do."""
    while True:
        began = anyio.current_time()
        await work()
        await anyio.sleep(max(0.0, seconds - (anyio.current_time() - began)))


async def watch_overview(http: httpx.AsyncClient, ids: list[str]) -> None:
    """Load the newest picture of each tile in turn, and read the lists if the stream tells of a change."""
    turn = count()

    async def tile() -> None:
        scenario_id = ids[next(turn) % len(ids)]
        await http.get(
            f"/scenarios/{scenario_id}/frame.jpg", params={"annotated": "true", "width": TILE_WIDTH}
        )

    await http.get("/session")
    read_at = 0.0
    async with anyio.create_task_group() as group:
        for _ in range(3):  # as many pictures are asked for at once
            group.start_soon(repeat, 3 * max(TILES, LEAST / len(ids)), tile)
        async for line in lines_of(http):
            if line == "event: scenario" and anyio.current_time() - read_at > LEAST:
                read_at = anyio.current_time()
                await http.get("/scenarios/counts")
                await http.get("/scenarios", params={"limit": 50})
        group.cancel_scope.cancel()  # the stream ended: the page begins anew


async def watch_scenario(http: httpx.AsyncClient, ids: list[str]) -> None:
    """Follow the newest pictures with their boxes, and read scenario, events and timeline as it grows."""
    path = f"/scenarios/{ids[0]}"
    frame: str | None = None

    async def picture() -> None:
        nonlocal frame
        answer = await http.get(f"{path}/frame.jpg", params={} if frame is None else {"after": frame})
        if answer.status_code != 200:
            return
        frame = answer.headers["Frame-Number"]
        await http.get(f"{path}/predictions", params={"from_frame": frame, "to_frame": int(frame) + 1})

    async def results() -> None:
        await http.get(f"{path}/timeline", params={"bucket": 31_536_000})
        await http.get(f"{path}/events", params={"order": "desc", "limit": 50})
        await http.get(f"{path}/events/counts")

    async with anyio.create_task_group() as group:
        group.start_soon(repeat, 0.1, picture)
        group.start_soon(repeat, SLOW, results)
        group.start_soon(repeat, LEAST, lambda: http.get(path))
        async for _ in lines_of(http):
            pass
        group.cancel_scope.cancel()


async def watch(url: str, ids: list[str]) -> None:
    """Be all viewers until the process is ended; one that fails begins anew, as a page does."""

    async def viewer(number: int) -> None:
        page = watch_overview if number % 2 else watch_scenario
        own = ids[number % len(ids) :] + ids[: number % len(ids)]
        while True:
            limits = httpx.Limits(max_connections=CONNECTIONS)
            try:
                async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
                    await page(http, own)
            except* httpx.TransportError:
                pass
            await anyio.sleep(2)

    async with anyio.create_task_group() as group:
        for number in range(VIEWERS):
            group.start_soon(viewer, number)


def run_viewers(url: str, ids: list[str]) -> None:
    """Run `watch` in a process of its own."""
    anyio.run(watch, url, ids)


async def measure(rounds: int) -> list[Row]:
    """Alternate between a service that nobody watches, and one that twenty people do."""
    alone: list[float] = []
    watched: list[float] = []
    with TemporaryDirectory() as name:
        async with running(Path(name), runner_slots=CAMERAS + 1) as service:
            sampling = {"mode": "fps", "fps": 2}
            ended = await service.create("test:testsrc2?duration=1", {"type": "mock"})
            await service.ends(ended)
            ids = [
                await service.create(SOURCE, {"type": "mock"}, sampling=sampling, presence={})
                for _ in range(CAMERAS)
            ]
            for scenario_id in ids:
                await service.reaches(scenario_id, "active", timeout=120)
            for _ in range(rounds):
                alone += await ask(service, ended)
                arguments = (str(service.http.base_url), ids)
                viewers = multiprocessing.get_context("spawn").Process(
                    target=run_viewers, args=arguments, daemon=True
                )
                viewers.start()
                try:
                    await anyio.sleep(SETTLE)
                    watched += await ask(service, ended)
                    assert viewers.is_alive(), "the viewers ended"
                finally:
                    viewers.kill()
                    viewers.join()
    with_viewers, without = quantiles(watched, n=100), quantiles(alone, n=100)
    what = f"GET a scenario, with {VIEWERS} viewers, against none"
    return [
        Row("15", f"{what}, p99", "ms", with_viewers[98], without[98], at_most(2)),
        Row("", f"{what}, median", "ms", with_viewers[49], without[49]),
    ]


if __name__ == "__main__":
    command(__doc__, measure)

"""Many live cameras with small pictures in one process: `mock`, two sampled frames per second.

A server sends the same clip to each camera by RTSP. The reference for CPU time is one process that opens the
same streams and only decodes them, a thread for each; that for the event loop's lag is the same service
before it has cameras. `--minutes` is how long the cameras are followed.
"""

import asyncio
import sys
import time
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory
from threading import Thread
from uuid import uuid4

import av
import psutil
from anyio import create_task_group, sleep
from msgspec import Struct

from app.postgres import open_connection
from benchmarks.camera_server import CameraServer
from benchmarks.lag import FILE
from benchmarks.processes import cpu, of_server
from benchmarks.services import predictions_of
from benchmarks.table import Row, at_least, at_most, command
from tests.support.clips import moving_boxes_clip
from tests.support.paths import ROOT
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until

SIZE, FPS, SAMPLED = (160, 90), 5, 2.0
GROUPS = 10  # of cameras: their pictures do not all come at the same moment
CAMERAS, MINUTES = 300, 2.0
IDLE, BARE = 20.0, 30.0  # seconds of the references
STARTED_WITHIN = 300.0  # seconds
LOOKED_AT, LOOK_EVERY = 30.0, 0.02  # seconds; after all the rest, because each look is a commit


class Counts(Struct, frozen=True):
    """What is stored and what it has cost, since the start."""

    at: float
    sampled: int
    dropped: int
    commits: int
    service: float
    database: float


@contextmanager
def served(clip: Path) -> Iterator[str]:
    """Serve the clip in a process of its own; yield its address."""
    process = Popen([sys.executable, "-m", "benchmarks.cameras", "--serve", str(clip)], stdout=PIPE, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def serve(clip: Path) -> None:
    """Serve the clip until this process is killed."""
    asyncio.run(CameraServer(clip, 1 / FPS, GROUPS).serve())


def decode(url: str) -> None:
    """Decode a stream, and nothing else."""
    with av.open(url, options={"rtsp_transport": "tcp"}) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def decode_all(url: str, count: int, seconds: float) -> None:
    """Decode `count` streams for some time; print the CPU seconds for each second of a camera."""
    for _ in range(count):
        Thread(target=decode, args=(url,), daemon=True).start()
        time.sleep(0.01)
    time.sleep(10)  # until all have begun
    began, spent = time.monotonic(), time.process_time()
    time.sleep(seconds)
    print((time.process_time() - spent) / (time.monotonic() - began) / count, flush=True)


def bare(url: str, count: int) -> float:
    """Run `decode_all` in a new interpreter, and return what it prints."""
    ask = ["--bare", url, str(count), str(BARE)]
    with Popen([sys.executable, "-m", "benchmarks.cameras", *ask], stdout=PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        answer = float(process.stdout.readline())
        process.kill()
    return answer


async def counts(service: ServiceProcess, dsn: str) -> Counts:
    """Read all counters."""
    async with open_connection(dsn) as connection:
        row = await connection.fetchrow(
            "SELECT sum(frames_sampled) AS sampled, sum(frames_dropped) AS dropped FROM checkpoints"
        )
        commits = await connection.fetchval(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
    assert row is not None
    return Counts(
        time.monotonic(),
        int(row["sampled"] or 0),
        int(row["dropped"] or 0),
        commits,
        cpu([psutil.Process(service.process.pid)]),
        cpu(of_server(service.folder)),
    )


@asynccontextmanager
async def ages(service: ServiceProcess, scenario_id: str) -> AsyncIterator[list[float]]:
    """Ask for new predictions all the time; yield the seconds since each frame was received."""
    found: list[float] = []

    async def look() -> None:
        first = 0
        while True:
            page = await service.http.get(
                f"/scenarios/{scenario_id}/predictions", params={"from_frame": first, "limit": 1000}
            )
            now, items = time.time(), page.raise_for_status().json()["items"]
            if items:
                first = items[-1]["frame"] + 1
                found.append(now - items[-1]["time"])
            await sleep(LOOK_EVERY)

    async with create_task_group() as group:
        group.start_soon(look)
        await sleep(1)
        found.clear()
        yield found
        group.cancel_scope.cancel()


def lag(folder: Path, since: int) -> float:
    """Return the 99th percentile of the event loop's lag in ms, of the values from number `since` on."""
    values = array("d", (folder / FILE).read_bytes()[8 * since :])
    return 1000 * quantiles(values, n=100)[-1]


def noted(folder: Path) -> int:
    """Return how many values of the event loop's lag there are."""
    return (folder / FILE).stat().st_size // 8


async def _create(service: ServiceProcess, url: str, scenario_id: str) -> bool:
    """Create a scenario; return False if the service was too busy and must be asked again."""
    sampling = {"mode": "fps", "fps": SAMPLED}
    new = {"id": scenario_id, "source": url, "detector": {"type": "mock"}, "sampling": sampling}
    return (await service.http.post("/scenarios", json=new)).status_code != 503


async def start(service: ServiceProcess, url: str, count: int) -> list[str]:
    """Create the scenarios, and wait until all of them run."""

    async def are_active() -> bool:
        answer = await service.http.get("/scenarios", params={"state": "active", "limit": 1000})
        return len(answer.json()["items"]) == count

    ids = [str(uuid4()) for _ in range(count)]
    for scenario_id in ids:
        await until(partial(_create, service, url, scenario_id), STARTED_WITHIN)
    await until(are_active, STARTED_WITHIN, poll=1.0)
    return ids


async def measure(_rounds: int, cameras: int = CAMERAS, minutes: float = MINUTES) -> list[Row]:
    """Follow the cameras."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = moving_boxes_clip(folder / "clip.mp4", frames=FPS * 10, size=SIZE, fps=FPS, gop=FPS, bframes=0)
        with served(clip) as url:
            alone = bare(url, cameras)
            async with running(folder, app="benchmarks.lag:app", runner_slots=cameras) as service:
                began = noted(folder)
                await sleep(IDLE)
                idle_lag = lag(folder, began)
                ids = await start(service, url, cameras)
                await sleep(5)
                async with predictions_of(service) as dsn:
                    began, before = noted(folder), await counts(service, dsn)
                    await sleep(60 * minutes)
                    after, busy_lag = await counts(service, dsn), lag(folder, began)
                async with ages(service, ids[0]) as seen:
                    await sleep(LOOKED_AT)
    return rows(cameras, before, after, alone, busy_lag, idle_lag, seen)


def rows(
    count: int,
    before: Counts,
    after: Counts,
    alone: float,
    busy_lag: float,
    idle_lag: float,
    seen: list[float],
) -> list[Row]:
    """Return the table."""
    seconds = after.at - before.at
    sampled, dropped = after.sampled - before.sampled, after.dropped - before.dropped
    of_all = seconds * count
    name = f"{count} live cameras"
    commits = (after.commits - before.commits) / seconds
    service = 1000 * (after.service - before.service) / of_all
    database = 1000 * (after.database - before.database) / of_all
    return [
        Row("", f"{name}: stored for each", "frames/s", sampled / of_all, SAMPLED, at_least(0.99)),
        Row("", f"{name}: dropped, of those stored", "frames", dropped, sampled, at_most(0)),
        Row(
            "",
            f"{name}: CPU of the process, against decoding",
            "CPU ms/s",
            service,
            1000 * alone,
            at_most(1.5),
        ),
        Row("", f"{name}: the event loop's lag, p99, against idle", "ms", busy_lag, idle_lag, at_most(10)),
        Row("", f"{name}: commits, against frames stored", "1/s", commits, sampled / seconds, at_most(0, 10)),
        Row(
            "",
            f"{name}: CPU of the database, against the process",
            "CPU ms/s",
            database,
            service,
            at_most(0, 0.4),
        ),
        Row(
            "",
            f"{name}: age of a frame in the API, p99, against median",
            "s",
            quantiles(seen, n=100)[-1],
            median(seen),
            at_most(0, 0.5),
        ),
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", clip]:
            serve(Path(clip))
        case ["--bare", url, count, seconds]:
            decode_all(url, int(count), float(seconds))
        case _:
            command(__doc__, measure, rounds=1, cameras=CAMERAS, minutes=MINUTES)

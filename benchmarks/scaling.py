"""Cost of 1 to 16 scenarios at two sampled frames per second, in one process and in three runners.

Recordings are read as fast as the machine allows: their throughput, in seconds of video per second, is the
number of cameras that could be followed. Live cameras cost more database work per frame, because their frames
are stored within a fraction of a second: eight of them are measured for some time. `--rounds` repeats each
measurement, and the medians are shown. tools/sizing.py computes with these figures.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import uuid4

import psutil
from anyio import create_task_group, move_on_after, sleep, to_thread
from msgspec import Struct

from app.messages import Instance, RunReport
from app.orchestrator import heartbeats
from app.postgres import Connection, migrate, open_database
from app.postgres.embedded.server import embedded_server
from app.predictions.checkpoint import BatchWrite, Fence
from app.runner.storing import checkpoints, claims
from benchmarks.analysis import footage
from benchmarks.clips import camera_clip
from benchmarks.event_storage import batches
from benchmarks.processes import cpu, exact_cpu, memory, of_server, of_service
from benchmarks.services import POLL, busy_seconds
from benchmarks.table import Row, command
from tests.support.cameras import RtspCamera
from tests.support.fleet import fleet
from tests.support.kafka import any_broker
from tests.support.service import ServiceProcess, running

COUNTS = (1, 2, 4, 8, 16)
RUNNERS = 3
SECONDS = 60
SIZE = (1280, 720)
CAMERAS, WATCHED = 8, 15.0
LEASES, RENEWALS = 100, 200
SHARING, STATEMENTS = 100, 300
MOTION = {"type": "motion"}


class Cost(Struct, frozen=True):
    """Cost of several scenarios at the same time.

    CPU is in milliseconds per second of one scenario's video, of the service's processes and of the database
    server. Memory is in MiB, of all the service's processes.
    """

    throughput: float
    service: float
    database: float
    memory: float

    def __str__(self) -> str:
        return (
            f"CPU {self.service:.1f} ms/s, of the database {self.database:.2f};"
            f" memory {self.memory:.0f} MiB; {2 * self.throughput:.0f} sampled frames/s"
        )


_NONE = Cost(0, 0, 0, 0)


class Site(Struct, frozen=True):
    """The service that gets the requests, all processes, and the folder of its database server's data."""

    api: ServiceProcess
    members: list[ServiceProcess]
    folder: Path

    @property
    def processes(self) -> list[psutil.Process]:
        return [process for member in self.members for process in of_service(member)]


@asynccontextmanager
async def one_process(folder: Path, media: Path) -> AsyncGenerator[Site, None]:
    """Start all roles in one process."""
    async with running(folder, media_root=media, runner_slots=max(COUNTS)) as service:
        yield Site(service, [service], folder)


@asynccontextmanager
async def three_runners(folder: Path, media: Path) -> AsyncGenerator[Site, None]:
    """Start API and orchestrator in one process and three runners, connected by Kafka."""
    roles = {"api": "api,orchestrator"} | {f"runner{number}": "runner" for number in range(RUNNERS)}
    with any_broker() as broker:
        async with fleet(folder, media, broker, **roles) as members:
            yield Site(members.api, list(members.members.values()), folder)


async def recorded(site: Site, count: int) -> Cost:
    """Analyse `count` recordings at the same time, to their ends."""
    service, database = cpu(site.processes), cpu(of_server(site.folder))
    sizes: list[int] = []
    async with create_task_group() as group:
        group.start_soon(_look, site, sizes)
        busy = await busy_seconds(site.api, count, "clip.mp4", MOTION)
        group.cancel_scope.cancel()
    video = count * SECONDS
    return Cost(
        video / busy,
        1000 * (cpu(site.processes) - service) / video,
        1000 * (cpu(of_server(site.folder)) - database) / video,
        max(sizes) / 2**20,
    )


async def live(site: Site, camera: RtspCamera) -> Cost:
    """Follow CAMERAS live cameras for some time."""
    ids = []
    for _ in range(CAMERAS):  # one after the other: the camera starves clients that connect at the same time
        ids.append(await site.api.create(camera.url, MOTION))
        await site.api.reaches(ids[-1], "active", timeout=60)
    sizes: list[int] = []
    service, database = cpu(site.processes), cpu(of_server(site.folder))
    with move_on_after(WATCHED):
        await _look(site, sizes)
    video = CAMERAS * WATCHED
    cost = Cost(
        CAMERAS,
        1000 * (cpu(site.processes) - service) / video,
        1000 * (cpu(of_server(site.folder)) - database) / video,
        max(sizes) / 2**20,
    )
    for scenario_id in ids:
        await site.api.http.post(f"/scenarios/{scenario_id}/stop")
    return cost


async def renewing(folder: Path) -> float:
    """Return the database server's CPU milliseconds per renewed lease, with LEASES renewed together."""
    async with embedded_server(folder / "data" / "postgres", databases=["scenarios"]) as server:
        dsn = server.dsn("scenarios")
        await migrate(dsn, "app.scenarios")
        instance = Instance("runner", uuid4())
        async with open_database(dsn) as database, database.connection() as connection:
            rows = await connection.fetch(
                "INSERT INTO scenarios (id, spec, state, attempt, runner_id, boot_id, lease_renewed_at)"
                " SELECT gen_random_uuid(), '{}', 'active', 1, $1, $2, now() FROM generate_series(1, $3)"
                " RETURNING id",
                instance.runner_id,
                instance.boot_id,
                LEASES,
            )
            began = cpu(of_server(folder))
            for number in range(RENEWALS):
                reports = [RunReport(row["id"], 1, number) for row in rows]
                assert not await heartbeats.renew(connection, instance, reports, 10)
            return 1000 * (cpu(of_server(folder)) - began) / LEASES / RENEWALS


async def storing(folder: Path) -> tuple[float, float]:
    """Return the database server's CPU milliseconds for a statement, and for each camera's frame in it.

    A frame has two detections. They are computed from statements of one frame and of SHARING.
    """
    async with embedded_server(folder / "data" / "postgres", databases=["predictions"]) as server:
        dsn = server.dsn("predictions")
        await migrate(dsn, "app.predictions")
        async with open_database(dsn) as database, database.connection() as connection:
            few, many = [await _stored(connection, folder, count) for count in (1, SHARING)]
    frame = (many - few) / (SHARING - 1)
    return few - frame, frame


async def _stored(connection: Connection, folder: Path, count: int) -> float:
    """Return the server's CPU milliseconds for a statement with a frame of each of `count` cameras."""
    fences = [Fence(uuid4(), 1, uuid4()) for _ in range(count)]
    for fence in fences:
        await claims.claim(connection, fence)
    server, began = of_server(folder), 0.0
    for number, batch in enumerate(batches(footage(2, 2), 1, 2.0, with_events=False)):
        if number == STATEMENTS // 10:  # the first ones plan
            began = exact_cpu(server)
        if number == STATEMENTS:
            break
        await checkpoints.write_batches(connection, [BatchWrite(fence, batch) for fence in fences])
    return 1000 * (exact_cpu(server) - began) / (STATEMENTS - STATEMENTS // 10)


async def _look(site: Site, sizes: list[int]) -> None:
    """Record the used memory, until cancelled."""
    while True:
        sizes.append(await to_thread.run_sync(memory, site.processes))
        await sleep(POLL)


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*(median(getattr(cost, name) for cost in costs) for name in Cost.__struct_fields__))


async def measure(rounds: int) -> list[Row]:
    """Measure every count in one process and in three runners, and live cameras."""
    rows = []
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        camera = stack.enter_context(RtspCamera(camera_clip(folder / "clip.mp4", seconds=SECONDS, size=SIZE)))
        first = _NONE
        for where, started in (("one process", one_process), ("three runners", three_runners)):
            place = folder / where
            place.mkdir()
            async with started(place, folder) as site:
                await recorded(site, 1)  # a warm-up: each runner has run once
                for count in COUNTS:
                    cost = middle([await recorded(site, count) for _ in range(rounds)])
                    first = cost if first is _NONE else first
                    rows.append(_row(f"{count} recordings at 2 frames/s, {where}", cost, first))
        place = folder / "live"
        place.mkdir()
        async with one_process(place, folder) as site:
            cost = middle([await live(site, camera) for _ in range(rounds)])
            rows.append(_row(f"{CAMERAS} live cameras at 2 frames/s, one process", cost, first))
        place = folder / "leases"
        place.mkdir()
        renewal = median([await renewing(place) for _ in range(rounds)])
        batch = first.database / 2
        rows.append(Row("", "a lease renewed, against a recording's half second", "CPU ms", renewal, batch))
        place = folder / "statements"
        place.mkdir()
        each = [await storing(place) for _ in range(rounds)]
        statement, frame = (median(costs) for costs in zip(*each, strict=True))
        what = "a camera's frame in a statement of many, against the statement"
        rows.append(Row("", what, "CPU ms", frame, statement))
    return rows


def _row(name: str, cost: Cost, first: Cost) -> Row:
    return Row("", name, "video s/s", cost.throughput, first.throughput, note=str(cost))


if __name__ == "__main__":
    command(__doc__, measure, rounds=1)

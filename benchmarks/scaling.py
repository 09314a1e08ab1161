"""How cost grows with scenarios: 1 to 16 at two sampled frames a second, in one process and in three runners.

Recordings are read as fast as the machine allows: their throughput is in seconds of video for each second,
which is how many cameras could be followed. Live cameras cost more database work for each frame, since what
they show is stored at once: eight of them are watched for a while. `--rounds` repeats each, and the medians
are shown. tools/sizing.py computes with these figures.
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
from app.orchestrator import leases
from app.postgres import migrate, open_database
from app.postgres.embedded.server import embedded_server
from benchmarks.clips import camera_clip
from benchmarks.processes import cpu, memory, of_server, of_service
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
MOTION = {"type": "motion"}


class Cost(Struct, frozen=True):
    """Of so many scenarios at once. CPU is in milliseconds for a second of one scenario's video: of the
    service's processes, and of the database server. Memory is of all the service's processes, in MiB."""

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
    """The service that is asked, all of its processes, and where its database server's data is."""

    api: ServiceProcess
    members: list[ServiceProcess]
    folder: Path

    @property
    def processes(self) -> list[psutil.Process]:
        return [process for member in self.members for process in of_service(member)]


@asynccontextmanager
async def one_process(folder: Path, media: Path) -> AsyncGenerator[Site, None]:
    """Everything in one process."""
    async with running(folder, media_root=media, runner_slots=max(COUNTS)) as service:
        yield Site(service, [service], folder)


@asynccontextmanager
async def three_runners(folder: Path, media: Path) -> AsyncGenerator[Site, None]:
    """API and orchestrator in one process, three runners in others, joined by Kafka."""
    roles = {"api": "api,orchestrator"} | {f"runner{number}": "runner" for number in range(RUNNERS)}
    with any_broker() as broker:
        async with fleet(folder, media, broker, **roles) as members:
            yield Site(members.api, list(members.members.values()), folder)


async def recorded(site: Site, count: int) -> Cost:
    """So many recordings at once, to their ends."""
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
    """CAMERAS live cameras, watched for a while."""
    ids = []
    for _ in range(CAMERAS):  # one after the other: the camera starves some of those that come at once
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
    """CPU milliseconds of the database server for each lease that is renewed, LEASES at a time."""
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
                assert not await leases.renew(connection, instance, reports, 10)
            return 1000 * (cpu(of_server(folder)) - began) / LEASES / RENEWALS


async def _look(site: Site, sizes: list[int]) -> None:
    """Note how much memory there is, until cancelled."""
    while True:
        sizes.append(await to_thread.run_sync(memory, site.processes))
        await sleep(POLL)


def middle(costs: Sequence[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(*(median(getattr(cost, name) for cost in costs) for name in Cost.__struct_fields__))


async def measure(rounds: int) -> list[Row]:
    """Every count in one process and in three runners, and live cameras."""
    rows = []
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        camera = stack.enter_context(RtspCamera(camera_clip(folder / "clip.mp4", seconds=SECONDS, size=SIZE)))
        first = _NONE
        for where, started in (("one process", one_process), ("three runners", three_runners)):
            place = folder / where
            place.mkdir()
            async with started(place, folder) as site:
                await recorded(site, 1)  # each runner is to have begun once
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
    return rows


def _row(name: str, cost: Cost, first: Cost) -> Row:
    return Row("", name, "video s/s", cost.throughput, first.throughput, note=str(cost))


if __name__ == "__main__":
    command(__doc__, measure, rounds=1)

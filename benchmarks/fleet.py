"""A fleet of six processes on Kafka with hundreds of cameras, whose processes are killed at random.

Two processes answer requests and decide, four run scenarios. The cameras are test patterns of 64×48 pixels
and one frame a second, with the detector `mock`, so that two cores are enough for 600 of them; each runner
and the two others have the defaults for heartbeats. First the cameras are left alone, and the processor time
is measured; then processes are killed while recordings with tracking, zones, lines and alerts begin and end
beside the cameras. The frames of these are known, and their events are compared with those of the same
recordings before anything was killed. It takes about five minutes.
"""

import argparse
import random
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import asyncpg
import psutil
from anyio import Event, create_task_group, current_time, sleep
from msgspec import Struct

from benchmarks.processes import cpu, of_server, of_service
from benchmarks.table import Row, at_most, command
from tests.support.chaos_fleet import ChaosFleet, chaos_fleet
from tests.support.ground_truth import Findings, Interruption, interruptions, make_clips, percentile, verify
from tests.support.kafka import any_broker
from tests.support.waiting import until

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

ROLES = {"front1": "api,orchestrator", "front2": "api,orchestrator"} | {
    f"runner{number}": "runner" for number in range(1, 5)
}
CAMERAS, FPS = 600, 0.2
CALM, TROUBLE, KILLS = 60.0, 120.0, 12
GOING = 2  # recordings at the same time
DATABASES = ("scenarios", "predictions")
BACK = 30.0  # seconds within which each interrupted run must be active again
SOURCE = "test:color?size=64x48&rate=1&live=true"
POSTS = 8  # requests at the same time


class Load(Struct, frozen=True):
    """What runs, for how long it is left alone and then disturbed, in seconds, and how often it is."""

    cameras: int = CAMERAS
    fps: float = FPS
    calm: float = CALM
    trouble: float = TROUBLE
    kills: int = KILLS


class Spent(Struct, frozen=True):
    """CPU seconds of each member and of the database server, and what is stored and committed, so far.

    `of_backends`: the part of the database server for each database.
    """

    at: float
    members: dict[str, float]
    database: float
    of_backends: dict[str, float]
    frames: int
    commits: int


class Site(Struct, frozen=True):
    """The fleet, and connections to its databases."""

    fleet: ChaosFleet
    folder: Path
    scenarios: "Connection"
    predictions: "Connection"

    async def add_cameras(self, load: Load) -> float:
        """Start the cameras; return the seconds until all are active."""
        began = current_time()
        numbers = iter(range(load.cameras))
        body = {
            "source": SOURCE,
            "detector": {"type": "mock"},
            "sampling": {"mode": "fps", "fps": load.fps},
            "restart": {"max_restarts": 1000},
        }

        async def post() -> None:
            for number in numbers:
                api = self.fleet.apis[number % len(self.fleet.apis)]
                answer = await api.http.post(
                    "/scenarios", json=body, headers={"Idempotency-Key": f"camera {number}"}
                )
                assert answer.status_code in (201, 202), answer.text

        async with create_task_group() as group:
            for _ in range(POSTS):
                group.start_soon(post)
        await until(partial(self.all_active, load.cameras), timeout=300, poll=0.5)
        return current_time() - began

    async def all_active(self, cameras: int) -> bool:
        """Return whether all cameras are followed."""
        active: int = await self.scenarios.fetchval(
            "SELECT count(*) FROM scenarios WHERE is_live AND state = 'active'"
        )
        return active == cameras

    async def record(self) -> None:
        """Analyse each recording in each way once, to know its events."""
        stop = Event()
        async with create_task_group() as group:
            group.start_soon(self.fleet.keep_going, 6, stop)
            await until(lambda: self.fleet.posted >= 6)
            stop.set()
        assert await self.fleet.settled(120)

    async def spent(self) -> Spent:
        """Return what was spent so far."""
        frames = await self.predictions.fetchval("SELECT sum(frames_sampled) FROM checkpoints WHERE live")
        commits = await self.predictions.fetchval(
            "SELECT sum(xact_commit) FROM pg_stat_database WHERE datname IN ('scenarios', 'predictions')"
        )
        members = {name: cpu(of_service(member)) for name, member in self.fleet.members.items()}
        server = of_server(self.folder)
        backends = {name: cpu(_backends(server, name)) for name in DATABASES}
        return Spent(current_time(), members, cpu(server), backends, int(frames or 0), int(commits))

    async def disturb(self, load: Load) -> None:
        """Kill processes while recordings begin and end, and wait until all goes on."""
        stop = Event()
        async with create_task_group() as group:
            group.start_soon(self.fleet.keep_going, GOING, stop)
            await self.fleet.kill(ROLES, load.kills, load.trouble)
            stop.set()
        assert await self.fleet.settled(300), "recordings do not end"
        await until(partial(self.all_active, load.cameras), timeout=120, poll=0.5)
        self.fleet.assert_all_run()


def _backends(server: list[psutil.Process], database: str) -> list[psutil.Process]:
    """Return those of the server's processes that serve clients of a database."""
    found = []
    for process in server:
        with suppress(psutil.NoSuchProcess):
            if f" {database} " in " ".join(process.cmdline()):
                found.append(process)
    return found


async def measure(_: int, load: Load) -> list[Row]:
    """Run the fleet once."""
    seed = random.randrange(2**32)
    print(f"seed {seed}; {psutil.cpu_count()} cores, load average {psutil.getloadavg()[0]:.1f}", flush=True)
    with TemporaryDirectory() as name, any_broker() as broker:
        folder = Path(name)
        clips = folder / "clips"
        clips.mkdir()
        make_clips(clips, 300, 600)
        slots = load.cameras // 2 + 10  # two of four runners can have all cameras
        async with (
            chaos_fleet(
                folder,
                clips,
                broker,
                ROLES,
                runner_slots=slots,
                rate_limit=10_000,
                heartbeat_interval=1,
                heartbeat_timeout=10,
            ) as fleet,
            fleet.database("scenarios") as scenarios,
            fleet.database("predictions") as predictions,
        ):
            fleet.chance.seed(seed)
            site = Site(fleet, folder, scenarios, predictions)
            await site.record()
            rows = [await starting_row(site, load)]
            await sleep(10)
            before = await site.spent()
            await sleep(load.calm)
            after = await site.spent()
            dropped = await predictions.fetchval("SELECT sum(frames_dropped) FROM checkpoints WHERE live")
            rows += calm_rows(load, before, after, int(dropped))
            await site.disturb(load)
            broken = await interruptions(scenarios, fleet.kills)
            found = await verify(scenarios, predictions)
            attempts = await scenarios.fetchval("SELECT sum(attempt - 1) FROM scenarios")
        return [*rows, *disturbed_rows(load, fleet, broken, found, attempts)]


async def starting_row(site: Site, load: Load) -> Row:
    """Start the cameras; return what each of them costs."""
    before = await site.spent()
    seconds = await site.add_cameras(load)
    after = await site.spent()
    members = sum(after.members.values()) - sum(before.members.values())
    database = after.database - before.database
    ms = 1000 / load.cameras
    return Row("", f"{load.cameras} cameras started: of all processes, of the database", "ms/camera",
        ms * members, ms * database, note=f"all active after {seconds:.0f} s")  # fmt: skip


def calm_rows(load: Load, before: Spent, after: Spent, dropped: int) -> list[Row]:
    """Return the rows of the time in which nothing was killed."""
    seconds = after.at - before.at
    ms = 1000 / (load.cameras * seconds)  # for each second of a camera
    members = {name: after.members[name] - before.members[name] for name in ROLES}
    database = after.database - before.database
    total = sum(members.values()) + database
    frames = (after.frames - before.frames) / seconds
    commits = (after.commits - before.commits) / seconds
    runners = sum(spent for name, spent in members.items() if ROLES[name] == "runner")
    each = ", ".join(f"{name} {spent / seconds:.2f}" for name, spent in members.items())
    backends = ", ".join(
        f"{name} {ms * (after.of_backends[name] - before.of_backends[name]):.2f}" for name in DATABASES
    )
    what = f"{load.cameras} cameras at {load.fps:g} frames/s"
    asked = load.cameras * load.fps
    return [
        Row("", f"{what}: stored", "frames/s", frames, asked, note=f"{dropped} frames dropped"),
        Row("", f"{what}: commits of both databases, against frames", "1/s", commits, frames),
        Row("", f"{what}: all runners, of all CPU", "ms/camera-s", ms * runners, ms * total),
        Row("", f"{what}: database server, of all CPU", "ms/camera-s", ms * database, ms * total,
            note=backends),
        Row("", f"{what}: cores used, of two", "cores", total / seconds, 2, note=f"{each}; database server"
            f" {database / seconds:.2f}"),
    ]  # fmt: skip


def disturbed_rows(
    load: Load, fleet: ChaosFleet, broken: list[Interruption], found: Findings, attempts: int
) -> list[Row]:
    """Return the rows of the time in which processes were killed."""
    kinds: Mapping[str, int] = {
        role: sum(kill.role == role for kill in fleet.kills) for role in sorted(set(ROLES.values()))
    }
    killed = ", ".join(f"{number} of {role}" for role, number in kinds.items())
    last = {(each.scenario_id, each.back): each for each in sorted(broken, key=lambda each: each.killed)}
    away = [each.seconds_away for each in last.values()]
    longest = max((each.seconds_away for each in broken), default=0.0)
    twice = len(broken) - len(last)
    again = f"{twice} runs were killed again before; counted from the first kill: {longest:.1f} s"
    lost = found.missing_events + found.doubled_events + found.wrong_events
    return [
        Row("", f"a run active again after {load.kills} kills, p50", "s", percentile(away, 0.5), BACK,
            at_most(1), f"kills: {killed}; {len(broken)} runs interrupted, {attempts} later attempts"),
        Row("", "the same, the longest", "s", max(away, default=0.0), BACK, at_most(1), again),
        Row("", "events of recordings missing, doubled or wrong", "of all", lost, found.events, at_most(0),
            f"{found.missing_events} missing, {found.doubled_events} doubled, {found.wrong_events} wrong"),
        Row("", "frames of recordings missing, doubled or wrong", "of all",
            found.missing + found.doubled + found.wrong, found.frames, at_most(0), str(found)),
    ]  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--cameras", type=int, default=CAMERAS)
    parser.add_argument("--fps", type=float, default=FPS)
    parser.add_argument("--calm", type=float, default=CALM, help="seconds")
    parser.add_argument("--trouble", type=float, default=TROUBLE, help="seconds")
    parser.add_argument("--kills", type=int, default=KILLS)
    given, sys.argv[1:] = parser.parse_known_args()
    command(__doc__, partial(measure, load=Load(**vars(given))), rounds=1)

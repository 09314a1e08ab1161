"""Row 12: clocks that are wrong, and steps of them, by an hour and more: no lease is stolen or overstayed."""

import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from anyio import create_task_group, sleep

from app.postgres import Database
from tests.support.cameras import RtspCamera
from tests.support.clips import marker_clip
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.clocks.fleet import HOUR, TIMEOUT, Fleet, clock_fleet

FRAMES = 90
CAMERAS = 3
SECONDS = size(8, 600)
KILLS = size(1, 20)
MARKER: dict[str, object] = {"type": "marker"}
ALL = {"mode": "all"}
NEVER = datetime.max.replace(tzinfo=UTC)
RUNNERS = {"ahead": HOUR, "behind": -HOUR, "right": 0.0}

pytestmark = pytest.mark.timeout(size(600, 3600))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    marker_clip(folder / "clip.mp4", frames=FRAMES)
    marker_clip(folder / "camera.mp4", frames=300, size=(320, 240), fps=5, gop=5)
    return folder


@dataclass
class Death:
    """From when to when a runner was dead, by the database's clock."""

    runner_id: str
    since: datetime
    to: datetime = NEVER


@dataclass
class Truth:
    """What was done."""

    deaths: list[Death] = field(default_factory=list)
    recordings: list[UUID] = field(default_factory=list)
    cameras: list[UUID] = field(default_factory=list)
    steps: int = 0


@dataclass
class Figures:
    """What the databases say of it."""

    runs: int = 0
    stolen: int = 0
    overstayed: int = 0
    longest: float = 0.0
    frames: int = 0
    wrong_frames: int = 0
    live_frames: int = 0
    wrong_times: int = 0


async def now(database: Database) -> datetime:
    async with database.connection() as connection:
        clock: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return clock


async def verify(scenarios: Database, predictions: Database, truth: Truth) -> Figures:
    """Who held which run for how long, and what was stored."""
    figures = Figures()
    async with scenarios.connection() as connection:
        rows = await connection.fetch(
            "SELECT scenario_id, at, to_state, runner_id,"
            "       lead(at) OVER later AS until_at, lead(to_state) OVER later AS after"
            "  FROM scenario_events"
            " WHERE to_state IN ('in_startup_processing', 'init_startup', 'inactive')"
            " WINDOW later AS (PARTITION BY scenario_id ORDER BY id)"
        )
        end: datetime = await connection.fetchval("SELECT clock_timestamp()")
    for run in (row for row in rows if row["to_state"] == "in_startup_processing"):
        figures.runs += 1
        until_at = run["until_at"] or end
        deaths = [
            max(death.since, run["at"])  # it may have been dispatched before the death was noticed
            for death in truth.deaths
            if death.runner_id == run["runner_id"] and death.since < until_at and run["at"] < death.to
        ]
        if deaths:
            waited = (until_at - deaths[0]).total_seconds()
            figures.longest = max(figures.longest, waited)
            figures.overstayed += waited > TIMEOUT + 2
        else:
            figures.stolen += run["after"] == "init_startup"
    async with predictions.connection() as connection:
        for recording in truth.recordings:
            stored = await connection.fetch(
                "SELECT frame, labels FROM predictions WHERE scenario_id = $1 ORDER BY frame", recording
            )
            wanted = [(frame, f"aruco:{frame % 1000}") for frame in range(FRAMES)]
            found = [(row["frame"], row["labels"]) for row in stored]
            figures.frames += FRAMES
            figures.wrong_frames += len({str(each) for each in wanted} ^ {str(each) for each in found})
        for camera in truth.cameras:
            times = await connection.fetch(
                "SELECT time FROM predictions WHERE scenario_id = $1 ORDER BY frame", camera
            )
            seconds = [row["time"] for row in times]
            figures.live_frames += len(seconds)
            began = min(row["at"] for row in rows if row["scenario_id"] == camera).timestamp()
            inside = [began <= each <= end.timestamp() for each in seconds]
            figures.wrong_times += inside.count(False)
            figures.wrong_times += sum(later < earlier for earlier, later in pairwise(seconds))
    return figures


async def holders(database: Database, scenario_id: UUID | None = None) -> list[str]:
    """The runners that hold runs, or that of one scenario."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT runner_id FROM scenarios WHERE runner_id IS NOT NULL AND ($1::uuid IS NULL OR id = $1)",
            scenario_id,
        )
    return [row["runner_id"] for row in rows]


async def create(fleet: Fleet, source: str, detector: dict[str, object], **options: object) -> UUID:
    """A new scenario, asked for under one id until the answer is that it is sure."""
    scenario_id = uuid4()
    asked = {"id": str(scenario_id), "source": source, "detector": detector, **options}

    async def accepted() -> bool:
        return (await fleet.leader.http.post("/scenarios", json=asked)).status_code in (201, 202)

    await until(accepted, timeout=30, poll=0.5)
    return scenario_id


async def watch(fleet: Fleet, camera: RtspCamera) -> UUID:
    """A run that goes on for ever, and costs a runner little."""
    return await create(fleet, camera.url, MARKER, sampling=ALL, restart={"policy": "always"})


async def unended(database: Database, truth: Truth) -> int:
    """How many recordings are not stored yet."""
    async with database.connection() as connection:
        left: int = await connection.fetchval(
            "SELECT count(*) FROM scenarios WHERE id = ANY($1) AND state <> 'inactive'", truth.recordings
        )
    return left


async def all_watched(database: Database, truth: Truth) -> bool:
    """Whether there is a frame of every camera."""
    async with database.connection() as connection:
        watched: int = await connection.fetchval(
            "SELECT count(DISTINCT scenario_id) FROM predictions WHERE scenario_id = ANY($1)", truth.cameras
        )
    return watched == len(truth.cameras)


async def give_work(fleet: Fleet, database: Database, truth: Truth, working: Callable[[], bool]) -> None:
    """One short recording after the other."""
    while working():
        if await unended(database, truth) == 0:
            truth.recordings.append(await create(fleet, "clip.mp4", MARKER, sampling=ALL))
        await sleep(0.2)


async def step_clocks(fleet: Fleet, truth: Truth, working: Callable[[], bool]) -> None:
    """Step one clock after the other, the leader's too, to and fro."""
    chance = random.Random()
    while working():
        member = chance.choice(fleet.members)
        member.step(chance.choice([offset for offset in (-HOUR, 0, HOUR) if offset != member.offset]))
        truth.steps += 1
        await sleep(0.2)


async def kill_a_runner(fleet: Fleet, database: Database, truth: Truth) -> None:
    """Kill one that holds a run, with a wrong clock, and start it again once that was noticed."""
    name = (await until(lambda: holders(database), timeout=30))[0]
    member = fleet.runners[name]
    member.step(random.choice([HOUR, -HOUR]))
    death = Death(name, await now(database))
    truth.deaths.append(death)
    member.kill()

    async def noticed() -> bool:
        return name not in await holders(database)

    await until(noticed, timeout=60)
    death.to = await now(database)
    member.launch()
    await member.ready(90)


async def test_wrong_clocks_neither_steal_nor_keep_leases(
    tmp_path: Path,
    media: Path,
    kafka: str,
    scenarios_dsn: str,
    predictions_dsn: str,
    scenarios: Database,
    predictions: Database,
    battery: Battery,
) -> None:
    truth = Truth()
    dsns = (scenarios_dsn, predictions_dsn)
    async with AsyncExitStack() as stack:
        camera = stack.enter_context(RtspCamera(media / "camera.mp4"))
        fleet = await stack.enter_async_context(clock_fleet(tmp_path, media, kafka, dsns, RUNNERS))
        for _ in range(CAMERAS):
            truth.cameras.append(await watch(fleet, camera))
        end = time.monotonic() + SECONDS
        killing = True

        def working() -> bool:
            return killing or time.monotonic() < end

        async with create_task_group() as group:
            group.start_soon(give_work, fleet, scenarios, truth, working)
            group.start_soon(step_clocks, fleet, truth, working)
            for _ in range(KILLS):
                await kill_a_runner(fleet, scenarios, truth)
            killing = False

        async def all_stored() -> bool:
            return await unended(scenarios, truth) == 0

        await until(all_stored, timeout=size(240, 300))
        await until(lambda: all_watched(predictions, truth), timeout=60)
        for watched in truth.cameras:
            assert (await fleet.leader.http.post(f"/scenarios/{watched}/stop")).is_success
            await fleet.leader.ends(str(watched))
        figures = await verify(scenarios, predictions, truth)
    assert (figures.stolen, figures.overstayed, figures.wrong_frames, figures.wrong_times) == (0, 0, 0, 0), (
        figures
    )
    assert figures.live_frames > 0
    battery.passed(
        12,
        "clocks of runners and leader wrong and stepped by ±61 min, runners killed at the same time",
        f"{truth.steps} steps, {len(truth.deaths)} kills, {figures.runs} runs",
        f"{figures.stolen} leases stolen, {figures.overstayed} overstayed (longest {figures.longest:.1f} s of"
        f" {TIMEOUT + 2:g}), {figures.wrong_frames} of {figures.frames:,} frames,"
        f" {figures.wrong_times} of {figures.live_frames:,} live times wrong",
    )


@pytest.mark.long
@pytest.mark.parametrize(("offset", "seen"), [(HOUR, "stolen"), (-HOUR, "overstayed")])
async def test_the_verifier_sees_leases_judged_by_the_leaders_own_clock(
    tmp_path: Path,
    media: Path,
    kafka: str,
    scenarios_dsn: str,
    predictions_dsn: str,
    scenarios: Database,
    predictions: Database,
    battery: Battery,
    offset: float,
    seen: str,
) -> None:
    truth = Truth()
    dsns = (scenarios_dsn, predictions_dsn)
    app = "tests.torture.clocks.unguarded:own_clock"
    async with AsyncExitStack() as stack:
        camera = stack.enter_context(RtspCamera(media / "camera.mp4"))
        started = clock_fleet(tmp_path, media, kafka, dsns, {"right": 0}, app=app)
        fleet = await stack.enter_async_context(started)
        scenario_id = await watch(fleet, camera)
        await until(lambda: holders(scenarios, scenario_id), timeout=30)
        fleet.leader.step(offset)
        await until(fleet.leader.shows_its_clock)
        if seen == "overstayed":
            truth.deaths.append(Death("right", await now(scenarios)))
            fleet.runners["right"].kill()

        async def damage() -> int:
            figures = await verify(scenarios, predictions, truth)
            count: int = getattr(figures, seen)
            return count

        count = await until(damage, timeout=30)
    battery.unguarded(
        12,
        "the database's clock alone",
        f"the leader's own, stepped by {offset / 60:+.0f} min",
        f"{count} {seen}",
    )

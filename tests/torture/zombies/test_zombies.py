"""Row 2: runs that wake after another has taken over, and go on storing. Not a row of theirs may get in.

300 real ones at full length, in processes that are stopped past their leases; and 1,500 at the store's level.
A witness in the database knows who had the fence whenever a row came in.
"""

import random
from itertools import cycle
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from anyio import CapacityLimiter, Event, create_task_group

from app.postgres import open_connection, open_database
from app.runner.storing import checkpoints as store
from tests.support.chaos_fleet import ChaosFleet, chaos_fleet
from tests.support.ground_truth import Findings, make_clips, verify
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.zombies import witness
from tests.torture.zombies.faulty_store import write_late
from tests.torture.zombies.unguarded import write_without_fence
from tests.torture.zombies.witness import Connection, Seen

pytestmark = pytest.mark.timeout(size(600, 4000))

ROLES = {
    "api": "api,orchestrator",
    "runner1": "runner",
    "runner2": "runner",
    "runner3": "runner",
}
RUNNERS = ("runner1", "runner2", "runner3")
REAL, GOING = size(6, 300), size(6, 18)
EACH = size(40, 500)
RATES = (0.0, 0.05, 0.1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), size(600, 2400))


async def raise_zombies(
    folder: Path, clips: Path, broker: str, app: str, enough: int, *, key: bool = True
) -> tuple[Seen, Findings]:
    """Stop runners past their leases and wake them, until so many runs of theirs have written late."""
    timing = {"heartbeat_interval": 0.5, "heartbeat_timeout": 2}
    async with (
        chaos_fleet(folder, clips, broker, ROLES, app=app, **timing) as fleet,
        fleet.database("scenarios") as scenarios,
        fleet.database("predictions") as predictions,
    ):
        await witness.watch(predictions)
        if not key:  # it would keep stale rows out, and tell of them
            await predictions.execute("ALTER TABLE predictions DROP CONSTRAINT predictions_pkey")
        stop = Event()
        async with create_task_group() as group:
            group.start_soon(fleet.keep_going, GOING, stop)
            for name in cycle(RUNNERS):
                await freeze(fleet, name, scenarios, predictions)
                if (await witness.ask(predictions)).zombies >= enough:
                    break
            stop.set()
        await fleet.settled(size(240, 120))
        return await witness.ask(predictions), await verify(scenarios, predictions)


async def freeze(fleet: ChaosFleet, name: str, scenarios: Connection, predictions: Connection) -> None:
    """Stop a runner until others have all of its runs, wake it, and wait for what these try to store."""
    runner = fleet.runner_id(name)
    await until(lambda: runs_of(runner, scenarios, predictions), 60, poll=0.05)
    with fleet.stopped(name):
        runs = await runs_of(runner, scenarios, predictions)
        await until(lambda: were_taken_over(runs, predictions), 150, poll=0.05)
    await until(lambda: have_tried(runs, predictions), 60, poll=0.05)


async def runs_of(runner: str, scenarios: Connection, predictions: Connection) -> dict[UUID, int]:
    """The runs of a runner that have stored something, and not yet all: scenario → attempt."""
    rows = await scenarios.fetch(
        "SELECT id, attempt FROM scenarios WHERE runner_id = $1 AND state = 'active'", runner
    )
    held = {row["id"]: row["attempt"] for row in rows}
    rows = await predictions.fetch(
        "SELECT scenario_id, attempt FROM checkpoints"
        " WHERE scenario_id = ANY($1) AND next_frame > 0 AND NOT finished",
        list(held),
    )
    return {row["scenario_id"]: row["attempt"] for row in rows if held[row["scenario_id"]] == row["attempt"]}


async def were_taken_over(runs: dict[UUID, int], predictions: Connection) -> bool:
    """Whether a later attempt has the fence of each."""
    rows = await predictions.fetch("SELECT scenario_id, attempt FROM checkpoints")
    now = {row["scenario_id"]: row["attempt"] for row in rows}
    return all(now[scenario_id] > attempt for scenario_id, attempt in runs.items())


async def have_tried(runs: dict[UUID, int], predictions: Connection) -> bool:
    """Whether each wrote late, but for those whose last write had come in as they were stopped."""
    rows = await predictions.fetch("SELECT DISTINCT scenario_id, attempt FROM witnessed_writes WHERE late")
    late = {(row["scenario_id"], row["attempt"]) for row in rows}
    rows = await predictions.fetch("SELECT scenario_id, attempt FROM witnessed_claims WHERE finished")
    done = {(row["scenario_id"], row["attempt"] - 1) for row in rows}
    return late | done >= set(runs.items())


async def test_runs_that_wake_after_another_took_over_store_nothing(
    tmp_path: Path, clips: Path, kafka: str, battery: Battery
) -> None:
    seen, found = await raise_zombies(
        tmp_path, clips, kafka, "tests.torture.zombies.unguarded:witnessed", REAL
    )
    battery.passed(
        2,
        "runs of runners stopped past their leases, then woken",
        f"{seen.zombies:,} runs",
        f"{seen}; {found}",
    )
    assert seen.zombies >= REAL
    assert not seen.stale, seen
    assert not found.damage, found


@pytest.mark.long
async def test_the_witness_sees_what_woken_runs_store_without_the_fence(
    tmp_path: Path, clips: Path, kafka: str, battery: Battery
) -> None:
    app = "tests.torture.zombies.unguarded:without_fence"
    seen, found = await raise_zombies(tmp_path, clips, kafka, app, 3, key=False)
    battery.unguarded(2, "the fence", f"{seen.zombies:,} runs", f"{seen}; {found}")
    assert seen.stale
    assert found.doubled


class LateWrites(NamedTuple):
    """What two attempts at each scenario left.

    `misplaced` rows are of the attempt that did not hold the fence; `uneven` frames are not there exactly
    once.
    """

    seen: Seen
    rows: int
    misplaced: int
    uneven: int

    def __str__(self) -> str:
        return (
            f"{self.seen}; {self.misplaced:,} misplaced of {self.rows:,} rows, {self.uneven:,} not once each"
        )


async def write_late_in_all(dsn: str, rate: float, enough: int, *, key: bool = True) -> LateWrites:
    """Let so many scenarios have a run that writes late, while the share `rate` of the statements fails.

    With faults, a few runs learn that they are late before they write again.
    """
    seed = random.randrange(2**32)
    print(f"seed {seed} with {rate:.0%} of faults")
    chance = random.Random(seed)
    limit = CapacityLimiter(16)

    async def one(seed: int) -> None:
        async with limit:
            await write_late(database, rate, seed)

    async with open_database(dsn, size=40) as database, open_connection(dsn) as connection:
        await witness.watch(connection)
        if not key:
            await connection.execute("ALTER TABLE predictions DROP CONSTRAINT predictions_pkey")
        while missing := max(0, enough - (await witness.ask(connection)).zombies):
            async with create_task_group() as group:
                for _ in range(missing):
                    group.start_soon(one, chance.getrandbits(64))
        return await judge(connection)


async def judge(predictions: Connection) -> LateWrites:
    """Compare each row's label with who had the fence for its frame."""
    misplaced = await predictions.fetchval(
        """
        SELECT count(*) FROM predictions p WHERE labels <> 'attempt:' ||
            (SELECT attempt FROM witnessed_claims c
              WHERE c.scenario_id = p.scenario_id AND next_frame <= frame ORDER BY n DESC LIMIT 1)
        """
    )
    row = await predictions.fetchrow(
        "SELECT sum(there)::bigint, sum(abs(there - needed) + there - distinctly)::bigint FROM"
        " (SELECT count(*) AS there, max(frame) + 1 AS needed, count(DISTINCT frame) AS distinctly"
        "    FROM predictions GROUP BY scenario_id) AS scenario"
    )
    assert row is not None
    return LateWrites(await witness.ask(predictions), row[0], misplaced, row[1])


@pytest.mark.parametrize("rate", RATES)
async def test_no_late_write_passes_whatever_the_database_does(
    predictions_dsn: str, monkeypatch: pytest.MonkeyPatch, battery: Battery, rate: float
) -> None:
    monkeypatch.setattr(store, "write", witness.declare_writers(store.write))
    left = await write_late_in_all(predictions_dsn, rate, EACH)
    battery.passed(
        2,
        f"late writes at the store's level, {rate:.0%} database errors",
        f"{left.seen.zombies:,} runs",
        str(left),
    )
    assert left.seen.zombies >= EACH
    assert (left.seen.stale, left.misplaced, left.uneven) == (0, 0, 0)


async def test_the_witness_sees_late_writes_pass_without_the_fence(
    predictions_dsn: str, monkeypatch: pytest.MonkeyPatch, battery: Battery
) -> None:
    monkeypatch.setattr(store, "write", witness.declare_writers(write_without_fence))
    left = await write_late_in_all(predictions_dsn, 0.05, 20, key=False)
    battery.unguarded(2, "the fence, at the store's level", "20 runs", str(left))
    assert left.seen.stale
    assert left.misplaced
    assert left.uneven

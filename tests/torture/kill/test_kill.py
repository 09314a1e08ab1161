"""Row 1: `kill -9` of random members of a fleet while scenarios go on all the time.

500 kills in half an hour at full length. The verifier reads both databases and knows what each clip shows.
"""

import random
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from anyio import Event, create_task_group, move_on_after, sleep

from tests.support.chaos_fleet import chaos_fleet
from tests.support.fleet import SETTINGS
from tests.support.ground_truth import Interruption, interruptions, make_clips, percentile, verify
from tests.support.waiting import until
from tests.torture.battery import LONG, Battery, size
from tests.torture.kill.follower import Follower, changes

pytestmark = pytest.mark.timeout(size(600, 6000))

ROLES = {
    "api1": "api",
    "api2": "api",
    "first": "orchestrator",
    "second": "orchestrator",
    "runner1": "runner",
    "runner2": "runner",
    "runner3": "runner",
}
SMALL = {"api1": "api", "first": "orchestrator", "runner1": "runner", "runner2": "runner"}
KILLS, SECONDS, GOING = size(12, 500), size(20, 1800), size(5, 20)
TIMEOUT = int(str(SETTINGS["heartbeat_timeout"]))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), *((900, 1800, 3600) if LONG else (600, 900)))


async def test_whatever_is_killed_nothing_is_lost_and_everything_goes_on_in_time(
    tmp_path: Path, clips: Path, kafka: str, battery: Battery
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    async with chaos_fleet(tmp_path, clips, kafka, ROLES) as fleet:
        fleet.chance.seed(seed)
        stop = Event()
        async with fleet.database("scenarios") as scenarios, fleet.database("predictions") as predictions:
            started = await scenarios.fetchval("SELECT pg_postmaster_start_time()")
            follower = Follower(fleet.apis)
            async with create_task_group() as group:
                await group.start(follower.follow)
                async with create_task_group() as busy:
                    busy.start_soon(fleet.keep_going, GOING, stop)
                    await fleet.kill(ROLES, KILLS, SECONDS)
                    stop.set()
                settled = await fleet.settled(size(240, 300))
                changed = await changes(scenarios)
                with suppress(AssertionError):
                    await until(lambda: len(follower.told) >= len(changed), timeout=30)
                group.cancel_scope.cancel()
            fleet.assert_all_run()
            found = await verify(scenarios, predictions)
            broken = await interruptions(scenarios, fleet.kills)
            assert await scenarios.fetchval("SELECT pg_postmaster_start_time()") == started
            stored = {str(row["id"]) for row in await scenarios.fetch("SELECT id FROM scenarios")}
    shares = Counter(kill.role for kill in fleet.kills)
    leaders = sum(kill.led for kill in fleet.kills)
    away = percentile([each.seconds for each in broken], 0.99)
    battery.passed(
        1,
        "`kill -9` of random members of a Kafka fleet, scenarios going on all the time",
        f"{len(fleet.kills)} kills ({', '.join(f'{n} of {role}s' for role, n in sorted(shares.items()))},"
        f" {leaders} of them leading), {len(broken)} runs interrupted",
        f"{found}; {len(follower.told):,} of {len(changed):,} changes told by {follower.streams} streams;"
        f" restart p99 {away:.1f} s of {TIMEOUT + 2} s allowed",
    )
    assert settled
    assert len(fleet.kills) == KILLS
    assert not found.damage, found
    assert follower.told == changed
    assert (len(fleet.created), fleet.created) == (fleet.posted, stored)
    # A dozen kills, on a machine that may be busy with other tests, give no percentile.
    assert away <= size(60, TIMEOUT + 2), sorted(broken, key=lambda each: -each.seconds)[:10]


@pytest.mark.long
async def test_the_verifier_sees_frames_lost_or_doubled_where_rows_and_checkpoint_are_stored_apart(
    tmp_path: Path, clips: Path, kafka: str, battery: Battery
) -> None:
    async with (
        chaos_fleet(
            tmp_path, clips, kafka, SMALL, app="tests.torture.kill.unguarded:separate_checkpoint"
        ) as fleet,
        fleet.database("scenarios") as scenarios,
        fleet.database("predictions") as predictions,
    ):
        # The key would keep the doubled rows out, and tell of them.
        await predictions.execute("ALTER TABLE predictions DROP CONSTRAINT predictions_pkey")
        stop = Event()
        async with create_task_group() as group:
            group.start_soon(fleet.keep_going, 8, stop)
            await fleet.kill(["runner1", "runner2"], 20, 30)
            stop.set()
        await fleet.settled(60)
        found = await verify(scenarios, predictions)
    battery.unguarded(1, "storing rows and checkpoint at once", "20 kills of runners", str(found))
    assert found.missing + found.doubled


@pytest.mark.long
async def test_the_verifier_sees_changes_told_out_of_order_where_hand_outs_are_not_held_to_it(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, kafka: str, battery: Battery
) -> None:
    short = make_clips(tmp_path_factory.mktemp("short"), 30)
    async with (
        chaos_fleet(
            tmp_path, short, kafka, SMALL, app="tests.torture.kill.unguarded:unordered_dispatch"
        ) as fleet,
        fleet.database("scenarios") as scenarios,
        fleet.database("predictions") as predictions,
    ):
        stop = Event()
        async with create_task_group() as group:
            group.start_soon(fleet.keep_going, 30, stop)
            with move_on_after(60):
                while not (await verify(scenarios, predictions)).disordered:  # noqa: ASYNC110 - nothing tells
                    await sleep(0.5)
            stop.set()
        await fleet.settled(60)
        found = await verify(scenarios, predictions)
    battery.unguarded(1, "dispatching in order", "30 scenarios going", str(found))
    assert found.disordered


@pytest.mark.long
async def test_the_verifier_sees_scenarios_stuck_where_leases_never_end(
    tmp_path: Path, clips: Path, kafka: str, battery: Battery
) -> None:
    async with (
        chaos_fleet(
            tmp_path, clips, kafka, SMALL, app="tests.torture.kill.unguarded:endless_leases"
        ) as fleet,
        fleet.database("scenarios") as scenarios,
        fleet.database("predictions") as predictions,
    ):
        stop = Event()
        async with create_task_group() as group:
            group.start_soon(fleet.keep_going, 8, stop)
            await fleet.kill(["runner1", "runner2"], 2, 4)
            stop.set()
        assert not await fleet.settled(TIMEOUT + 5)
        found = await verify(scenarios, predictions)
        broken: list[Interruption] = await interruptions(scenarios, fleet.kills)
    battery.unguarded(1, "leases that end", "2 kills of runners", str(found))
    assert found.stuck
    assert percentile([each.seconds for each in broken], 0.99) == float("inf")

"""Rescuing: when a run is lost, and how runs that were lost together start again."""

from itertools import pairwise
from uuid import UUID

from msgspec.structs import replace

from app.domain.spec import RestartPolicy
from app.orchestrator.lifecycle import LAST_ATTEMPT_ISOLATION
from tests.orchestrator.conftest import PATIENT, SPEC, World
from tests.support.waiting import until


async def test_a_silent_runner_loses_its_runs_to_another(world: World) -> None:
    async with world.orchestrator(), world.runner("a") as a:
        scenario_id = await world.create()
        await a.started(scenario_id)
        a.is_silent = True
        async with world.runner("b") as b:
            command = await b.started(scenario_id, attempt=2)
            assert command.instance == b.instance
        reasons = [entry["reason"] for entry in await world.history(scenario_id)]
        assert "runner a did not report the run for 0.6 s" in reasons


async def test_a_runner_that_forgot_a_run_loses_it_though_the_runner_lives(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        runner.runs.clear()
        await runner.started(scenario_id, attempt=2)


async def test_a_newer_instance_ends_the_leases_of_the_older_at_once(world: World) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner("a") as older:
        scenario_id = await world.create()
        await older.started(scenario_id)
        async with world.runner("a") as newer:
            await newer.started(scenario_id, attempt=2)
            following = await world.create()
            await newer.started(following)


async def test_a_run_that_reached_a_leaving_runner_too_late_soon_goes_to_another(world: World) -> None:
    async with world.orchestrator(timing=PATIENT):
        async with world.runner("a") as a:
            scenario_id = await world.create()
            await a.started(scenario_id)
            await a.leave()
        async with world.runner("b") as b:
            await b.started(scenario_id, attempt=2)


async def test_a_process_that_is_alone_ends_every_older_lease_at_its_start(world: World) -> None:
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as before:
        scenario_id = await world.create()
        await before.started(scenario_id)
    async with world.orchestrator(timing=replace(PATIENT, heartbeat_interval=5.0), alone=True):
        assert await world.lost_its_run(scenario_id)
        async with world.runner("runner-2") as after:
            await after.started(scenario_id, attempt=2)


async def test_runs_that_are_lost_together_twice_start_one_after_the_other(world: World) -> None:
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as runner:
        scenarios = [await world.create() for _ in range(3)]
        for scenario_id in scenarios:
            await runner.started(scenario_id)
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as runner:
        for scenario_id in scenarios:
            await runner.started(scenario_id, attempt=2)
    async with world.orchestrator(timing=PATIENT, alone=True):
        for scenario_id in scenarios:
            await until(lambda: failed_twice(world, scenario_id))  # noqa: B023 - awaited at once
        times = sorted([(await world.row(scenario_id))["not_before"] for scenario_id in scenarios])
    assert all((late - early).total_seconds() > 1.5 for early, late in pairwise(times))


async def test_the_last_attempt_of_a_run_is_made_alone(world: World) -> None:
    """A run that takes the process down may store something each time, and so never be quarantined."""
    frail = replace(SPEC, restart=RestartPolicy(max_restarts=1))
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as runner:
        stores = await world.create()
        stores_nothing = await world.create(frail)
        await runner.started(stores_nothing)
        await runner.started(stores)
        runner.runs[stores, 1] = 7
        await until(lambda: has_stored(world, stores, 7))
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner("runner-2") as runner:
        await runner.started(stores_nothing, attempt=2)
        row = await world.row(stores)
        assert (row["state"], row["failures"]) == ("init_startup", 0)
        assert (row["not_before"] - row["updated_at"]).total_seconds() == LAST_ATTEMPT_ISOLATION


async def has_stored(world: World, scenario_id: UUID, frames: int) -> bool:
    return bool((await world.row(scenario_id))["next_frame"] == frames)


async def failed_twice(world: World, scenario_id: UUID) -> bool:
    return bool((await world.row(scenario_id))["failures"] == 2)

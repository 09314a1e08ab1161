"""Leadership: one orchestrator leads, also through outages of the database."""

from functools import partial

import pytest
from anyio import create_task_group, sleep

from app.orchestrator import elector, leader, run_orchestrator
from app.orchestrator.elector import AlreadyRunningError, lead
from app.postgres import open_database
from tests.orchestrator.conftest import PATIENT, TIMING, World
from tests.support.proxy import proxied
from tests.support.waiting import until


async def test_another_orchestrator_takes_over_when_the_leader_loses_its_connection(world: World) -> None:
    async with world.orchestrator(), world.orchestrator(), world.runner() as runner:
        first = await world.create()
        await runner.started(first)
        assert await world.count_leaders() == 1
        await world.disconnect_leader()
        second = await world.create()
        await runner.started(second)
        assert await world.count_leaders() == 1


async def test_a_frozen_leader_is_replaced(world: World) -> None:
    async with lead(world.dsn, lambda: None, silence=0.2) as frozen:
        async with world.orchestrator(), world.runner() as runner:
            scenario_id = await world.create()
            await runner.started(scenario_id)
        assert not await frozen.is_held()


async def test_a_process_that_must_be_alone_says_when_it_is_not(world: World) -> None:
    async with world.orchestrator(alone=True):
        with pytest.RaisesGroup(AlreadyRunningError, allow_unwrapped=True, flatten_subgroups=True):
            async with world.orchestrator(alone=True):
                pytest.fail("two processes run on one database")


async def test_a_process_that_is_alone_outlasts_an_outage_of_its_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elector, "_RETRY", 0.01)
    monkeypatch.setattr(leader, "_PATIENCE", 0.1)
    async with proxied(world.dsn) as proxy:
        through = World(proxy.dsn, world.database, world.bus)
        async with through.orchestrator(alone=True), world.runner() as runner:
            await runner.started(await world.create())
            proxy.cut()
            await sleep(2 * TIMING.heartbeat_timeout)
            await proxy.open()
            await runner.started(await world.create())


async def test_a_start_waits_for_a_database_that_goes_away_in_the_middle_of_it(world: World) -> None:
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as before:
        scenario_id = await world.create()
        await before.started(scenario_id)
    async with (
        proxied(world.dsn) as proxy,
        open_database(proxy.dsn) as database,
        create_task_group() as group,
    ):
        proxy.cut()
        run = partial(run_orchestrator, world.dsn, database, world.bus, PATIENT, alone=True)
        group.start_soon(run)
        await sleep(0.3)
        assert (await world.row(scenario_id))["attempt"] == 1
        await proxy.open()

        async def lease_ended() -> bool:
            return bool((await world.row(scenario_id))["attempt"] == 2)

        await until(lease_ended)
        group.cancel_scope.cancel()


async def test_a_process_that_lost_its_lock_to_another_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elector, "_RETRY", 0.01)
    monkeypatch.setattr(leader, "_PATIENCE", 0.1)
    with pytest.RaisesGroup(AlreadyRunningError, allow_unwrapped=True, flatten_subgroups=True):
        async with proxied(world.dsn) as proxy:
            through = World(proxy.dsn, world.database, world.bus)
            async with through.orchestrator(alone=True):
                proxy.cut()
                async with lead(world.dsn, lambda: None, silence=30):
                    await proxy.open()
                    await sleep(10)

"""Dispatching: which runner gets which scenario, and when."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from anyio import sleep
from msgspec import Raw

from app.domain.features import FEATURES
from app.messages import (
    Instance,
    RunFinished,
    RunnerHeartbeat,
    RunReleased,
    RunStopped,
    StopRun,
    StopScenario,
)
from app.orchestrator import leases, store
from app.orchestrator.dispatcher import find_free_runners
from app.orchestrator.heartbeats import note_instance
from app.orchestrator.lifecycle import ScenarioRecord
from app.postgres import Connection
from tests.orchestrator.conftest import NEVER_SILENT, PATIENT, SPEC, World
from tests.support.waiting import until


async def test_a_stop_reaches_the_runner_and_its_end_is_heard(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        await world.send(StopScenario(uuid4(), scenario_id))
        await until(lambda: StopRun(runner.instance, scenario_id, 1) in runner.commands)
        await world.reaches(scenario_id, "in_shutdown_processing")
        await runner.report(RunStopped(scenario_id, 1, 10), ends=True)
        await world.reaches(scenario_id, "inactive")
        assert (await world.row(scenario_id))["outcome"] == "stopped"


async def test_slots_are_never_exceeded_and_the_longest_wait_ends_first(world: World) -> None:
    async with world.orchestrator(timing=NEVER_SILENT), world.runner(slots=2) as runner:
        ids = [await world.create() for _ in range(5)]
        await runner.started(ids[0])
        await runner.started(ids[1])
        for done, following in zip(ids, ids[2:], strict=False):
            assert runner.starts[-1].scenario_id != following
            assert len(runner.runs) == 2
            await runner.report(RunFinished(done, 1, 1), ends=True)
            await runner.started(following)
        assert [command.scenario_id for command in runner.starts] == ids


async def test_runs_are_spread_over_runners(world: World) -> None:
    timing = NEVER_SILENT
    async with world.orchestrator(timing=timing), world.runner("a") as a, world.runner("b") as b:
        await until(partial(world.knows_runners, 2))
        ids = [await world.create() for _ in range(4)]
        await until(lambda: len(a.runs) + len(b.runs) == len(ids))
        assert (len(a.runs), len(b.runs)) == (2, 2)


async def test_a_leaving_runner_gets_no_more_runs_and_its_released_run_is_resumed_at_once(
    world: World,
) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner("a") as a:
        scenario_id = await world.create()
        await a.started(scenario_id)
        await a.leave()
        await a.report(RunReleased(scenario_id, 1, 10, instance=a.instance), ends=True)
        await world.reaches(scenario_id, "init_startup", attempt=2)
        async with world.runner("b") as b:
            await b.started(scenario_id, attempt=2)
        assert len(a.starts) == 1


async def test_a_released_run_does_not_return_to_the_runner_that_released_it(world: World) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner("a") as a:
        scenario_id = await world.create()
        await a.started(scenario_id)
        await a.report(RunReleased(scenario_id, 1, 10, instance=a.instance), ends=True)
        async with world.runner("b") as b:
            await b.started(scenario_id, attempt=2)
        assert len(a.starts) == 1


async def test_a_runner_that_left_before_its_first_heartbeat_was_heard_gets_no_runs(world: World) -> None:
    left, slots = Instance("a", uuid4()), 4
    async with world.database.connection() as connection:
        await leases.mark_leaving(connection, left)
        await note_instance(connection, RunnerHeartbeat(left, slots, ()))
        assert (await find_free_runners(connection, 30.0)).free_slots(1) == []


async def test_a_silent_runner_gets_no_more_runs_long_before_its_leases_end(world: World) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner("a") as a:
        await until(partial(world.knows_runners, 1))
        a.is_silent = True
        await sleep(10 * PATIENT.heartbeat_interval)
        scenario_id = await world.create()
        async with world.runner("b") as b:
            await b.started(scenario_id)
        assert a.starts == []


async def test_many_runs_are_dispatched_in_a_few_transactions(world: World) -> None:
    async with world.orchestrator(timing=PATIENT):
        scenarios = [await world.create() for _ in range(120)]
        async with world.runner(slots=1000) as runner:
            for scenario_id in scenarios:
                await runner.started(scenario_id)
        moments = {(await world.row(scenario_id))["updated_at"] for scenario_id in scenarios}
        assert len(moments) == 3  # one per transaction


async def test_event_streams_never_tell_of_a_dispatch_before_the_creation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_waiting = store.lock_waiting
    late: list[UUID] = []

    async def once_another_was_created(
        connection: Connection, limit: int, *others: Any
    ) -> list[ScenarioRecord]:
        if not late:
            late.append(await world.create())
        return await lock_waiting(connection, limit, *others)

    monkeypatch.setattr(store, "lock_waiting", once_another_was_created)
    async with world.orchestrator(), world.runner() as runner:
        await world.create()
        await until(lambda: late)
        await runner.started(late[0])
    assert await world.states_in_streams(late[0]) == ["init_startup", "in_startup_processing"]


NEWER = b'{"source": "clip.mp4", "detector": {"type": "of tomorrow", "x": [1]}, "areas": [{"name": "yard"}]}'


async def test_a_scenario_waits_for_a_runner_that_has_what_it_needs(world: World) -> None:
    async with world.orchestrator(timing=NEVER_SILENT), world.runner("old") as old:
        await until(partial(world.knows_runners, 1))
        newer = await world.create_from(Raw(NEWER))
        known = await world.create()
        await old.started(known)  # what waits for another runner holds up nobody
        async with world.runner("new") as new:
            new.features = ("detector:of tomorrow",)
            command = await new.started(newer)
    assert msgspec.json.decode(command.spec) == msgspec.json.decode(NEWER)
    assert [start.scenario_id for start in old.starts] == [known]


async def test_features_that_only_the_api_knows_of_are_kept_in_mind(world: World) -> None:
    timing = NEVER_SILENT
    async with world.orchestrator(timing=timing), world.runner("old") as old, world.runner("new") as new:
        new.features = (*FEATURES, "zones")
        await until(partial(world.knows_runners, 2))
        needs_zones = [await world.create(SPEC, "zones") for _ in range(3)]
        await until(lambda: len(new.starts) == 3)
        assert {start.scenario_id for start in new.starts} == set(needs_zones)
        assert old.starts == []


async def test_a_runner_that_announces_no_features_has_those_of_the_first_release(world: World) -> None:
    async with world.orchestrator(), world.runner() as first:
        first.features = None
        newer = await world.create_from(Raw(NEWER))
        known = await world.create()
        await first.started(known)
        assert (await world.row(newer))["state"] == "init_startup"


async def test_slots_of_several_kinds_are_all_filled_the_longest_wait_first(world: World) -> None:
    async with (
        world.orchestrator(timing=NEVER_SILENT),
        world.runner("old", slots=2) as old,
        world.runner("new", slots=2) as new,
    ):
        new.features = (*FEATURES, "zones")
        await until(partial(world.knows_runners, 2))
        zones = [await world.create(SPEC, "zones") for _ in range(2)]
        plain = [await world.create() for _ in range(3)]
        await until(lambda: len(old.starts) + len(new.starts) == 4)
        waiting = [one for one in (*zones, *plain) if (await world.row(one))["state"] == "init_startup"]
        assert len(waiting) == 1
        assert {start.scenario_id for start in old.starts} <= set(plain)

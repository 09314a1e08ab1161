"""Run events and new scenarios in batches: one transaction for all, and none waits for another."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from anyio import create_task_group, sleep_forever
from anyio.abc import TaskStatus

from app.domain.media import Media
from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    Instance,
    RunEvent,
    RunFailed,
    RunFinished,
    RunStarted,
    StopScenario,
    orchestrator_commands,
    runner_events,
)
from app.orchestrator import store
from app.orchestrator.decisions import apply
from app.orchestrator.handlers import create_scenarios, handle_command, handle_run_events
from app.orchestrator.lifecycle import AssignRun, ScenarioRecord
from app.postgres import Connection
from tests.orchestrator.conftest import PATIENT, SPEC, World
from tests.support.databases import blocks_another
from tests.support.waiting import until

MEDIA = Media(640, 360, frames=1)

JSON = encode_spec(SPEC)


async def dispatched(world: World, count: int) -> list[UUID]:
    """Create scenarios and dispatch them."""
    made = [CreateScenario(uuid4(), uuid4(), JSON) for _ in range(count)]
    assert await create_scenarios(world.database, made) == count * [True]
    for each in made:
        async with world.database.transaction() as connection:
            await apply(connection, each.scenario_id, AssignRun(Instance("runner-1", uuid4())))
    return [each.scenario_id for each in made]


async def moves_per_transaction(world: World, to_state: str) -> list[int]:
    """Return how many scenarios each transaction moved to the state."""
    sql = "SELECT count(*) FROM scenario_events WHERE to_state = $1 GROUP BY xid"
    async with world.database.connection() as connection:
        return [row["count"] for row in await connection.fetch(sql, to_state)]


async def test_events_of_several_scenarios_are_one_transaction(world: World) -> None:
    first, second, third = await dispatched(world, 3)
    events: list[RunEvent] = [
        RunStarted(first, 1, 0, media=MEDIA),
        RunFinished(second, 1, 1, MEDIA),
        RunFailed(third, 1, 0, error="no such file", retryable=False),
    ]
    assert await handle_run_events(world.database, events) == 3 * [True]
    assert [(await world.row(each))["outcome"] for each in (first, second, third)] == [
        None,
        "completed",
        "failed",
    ]
    assert (await world.states(second))[-2:] == ["active", "inactive"]
    assert await moves_per_transaction(world, "inactive") == [2]
    assert await moves_per_transaction(world, "active") == [2]


async def test_new_scenarios_are_one_transaction_without_those_that_exist(world: World) -> None:
    (known,) = await dispatched(world, 1)
    new = [CreateScenario(uuid4(), uuid4(), JSON) for _ in range(3)]
    assert await create_scenarios(world.database, [*new, CreateScenario(uuid4(), known, JSON)]) == [
        *3 * [True],
        None,
    ]
    assert sorted(await moves_per_transaction(world, "init_startup")) == [1, 3]


async def test_an_event_does_not_wait_for_the_lock_of_another_scenario(world: World) -> None:
    free, held = await dispatched(world, 2)

    async def hold(*, task_status: TaskStatus[None]) -> None:
        async with world.database.transaction() as connection:
            await store.lock(connection, held)
            task_status.started()
            await sleep_forever()

    async with create_task_group() as group:
        await group.start(hold)
        events = [RunFinished(held, 1, 1, MEDIA), RunFinished(free, 1, 1, MEDIA)]
        assert await handle_run_events(world.database, events) == [None, True]
        group.cancel_scope.cancel()


class GatedConnection:
    """A connection that reads each scenario only when the advisory lock of its id is free."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, query: str, *values: object) -> Any:
        gated = query.replace("SELECT id", "SELECT pg_advisory_xact_lock_shared(hashtext(id::text)), id")
        return await self._connection.fetch(gated, *values)


async def test_event_streams_never_tell_of_an_event_before_a_change_between_its_locks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await dispatched(world, 2)
    lock_available = store.lock_available
    handled: list[bool | None] = []

    async def one_by_one(connection: Connection, scenario_ids: Sequence[UUID]) -> list[ScenarioRecord]:
        return await lock_available(cast("Connection", GatedConnection(connection)), scenario_ids)

    async def handle() -> None:
        handled.extend(
            await handle_run_events(
                world.database, [RunFinished(each, 1, 1, MEDIA) for each in (first, second)]
            )
        )

    monkeypatch.setattr(store, "lock_available", one_by_one)
    async with create_task_group() as group, world.database.transaction() as gate:
        await gate.execute("SELECT pg_advisory_xact_lock(hashtext($1))", str(second))
        group.start_soon(handle)
        await until(lambda: blocks_another(gate))
        await handle_command(world.database, StopScenario(uuid4(), second))
    assert await world.states_in_streams(second) == await world.states(second)
    assert handled == [True, None]


async def test_a_later_event_of_a_scenario_waits_for_the_earlier_one(world: World) -> None:
    (scenario_id,) = await dispatched(world, 1)
    events: list[RunEvent] = [RunStarted(scenario_id, 1, 0, media=MEDIA), RunFinished(scenario_id, 1, 1)]
    assert await handle_run_events(world.database, events) == [True, None]
    assert (await world.row(scenario_id))["state"] == "active"


async def test_an_event_that_cannot_be_stored_costs_no_other(world: World) -> None:
    async with world.orchestrator(timing=PATIENT):
        *good, bad = await dispatched(world, 6)
        async with create_task_group() as group:
            # PostgreSQL takes no null characters.
            failed = RunFailed(bad, 1, 0, error="\0", retryable=False)
            group.start_soon(world.bus.publish, runner_events, failed, str(bad))
            for each in good:
                group.start_soon(world.bus.publish, runner_events, RunFinished(each, 1, 1, MEDIA), str(each))
        assert [(await world.row(each))["outcome"] for each in good] == 5 * ["completed"]
        assert (await world.row(bad))["outcome"] is None
        (letter,) = world.bus.dead_letters(runner_events)
        assert letter.key == str(bad)


async def test_commands_that_wait_together_share_transactions(world: World) -> None:
    keys = world.bus.partition_keys(orchestrator_commands)
    async with world.orchestrator(timing=PATIENT), create_task_group() as group:
        for key in keys:
            group.start_soon(
                world.bus.publish,
                orchestrator_commands,
                CreateScenario(uuid4(), uuid4(), JSON),
                key,
            )

        async def all_there() -> bool:
            return sum(await moves_per_transaction(world, "init_startup")) == len(keys)

        await until(all_there)
        assert len(await moves_per_transaction(world, "init_startup")) < len(keys)

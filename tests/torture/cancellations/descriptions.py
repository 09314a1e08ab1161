"""Calls of the functions that describe a scenario."""

from datetime import UTC, datetime

from app.orchestrator import descriptions, store
from tests.torture.cancellations.registry import call
from tests.torture.cancellations.world import World


@call(descriptions.read_description)
async def _read_description(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await descriptions.read_description(connection, world.any_scenario())


@call(descriptions.write_description)
async def _write_description(world: World) -> None:
    description = descriptions.Description("front door", ("gate",), None)
    async with world.scenarios.connection() as connection:
        await descriptions.write_description(connection, world.any_scenario(), description)


@call(descriptions.read_requested_spec)
async def _read_requested_spec(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await descriptions.read_requested_spec(connection, world.any_scenario())


@call(descriptions.write_date)
async def _write_date(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await descriptions.write_date(connection, world.any_scenario(), datetime.now(UTC))


@call(descriptions.note)
async def _note(world: World) -> None:
    scenario_id = world.any_scenario()
    async with world.scenarios.transaction() as connection:
        scenario = await store.lock(connection, scenario_id)
        assert scenario is not None
        await descriptions.note(connection, scenario, "name changed")


@call(descriptions.find_replacement)
async def _find_replacement(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await descriptions.find_replacement(connection, world.any_scenario())


@call(descriptions.count_replaced)
async def _count_replaced(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await descriptions.count_replaced(connection, world.any_scenario(), 99)

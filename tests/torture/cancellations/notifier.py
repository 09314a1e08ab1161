"""Calls of the functions that work with deliveries."""

from uuid import uuid4

from anyio import move_on_after

from app.notifier import queue
from app.notifier.queue import Claimed, FreeRoom
from app.runner.cleanup import old_deliveries
from tests.support.deliveries import add
from tests.torture.cancellations.registry import call
from tests.torture.cancellations.world import World


async def _claimed(world: World) -> list[Claimed]:
    await add(world.predictions, world.chance.choice(world.recorded), world.chance.randrange(1, 10**6))
    async with world.predictions.connection() as connection:
        return await queue.claim(connection, [FreeRoom("ops", 3)], uuid4(), 0.01)


@call(queue.claim)
async def _claim(world: World) -> None:
    await _claimed(world)


@call(queue.mark_sent)
async def _mark_sent(world: World) -> None:
    for claimed in await _claimed(world):
        async with world.predictions.connection() as connection:
            await queue.mark_sent(connection, claimed)


@call(queue.mark_failed)
async def _mark_failed(world: World) -> None:
    for claimed in await _claimed(world):
        async with world.predictions.connection() as connection:
            await queue.mark_failed(connection, claimed, "the channel is away", 0.01)


@call(queue.mark_dead)
async def _mark_dead(world: World) -> None:
    for claimed in await _claimed(world):
        async with world.predictions.connection() as connection:
            await queue.mark_dead(connection, claimed, "the channel answers with status 400")


@call(queue.release)
async def _release(world: World) -> None:
    for claimed in await _claimed(world):
        async with world.predictions.connection() as connection:
            await queue.release(connection, claimed)


@call(old_deliveries.drop_excess)
async def _drop_excess(world: World) -> None:
    async with world.predictions.connection() as connection:
        await old_deliveries.drop_excess(connection, 20)


@call(old_deliveries.give_up_old)
async def _give_up_old(world: World) -> None:
    async with world.predictions.connection() as connection:
        await old_deliveries.give_up_old(connection, 1)


@call(old_deliveries.remove_ended)
async def _remove_ended(world: World) -> None:
    async with world.predictions.connection() as connection:
        await old_deliveries.remove_ended(connection, 1)


@call(old_deliveries.remove_deleted)
async def _remove_deleted(world: World) -> None:
    async with world.predictions.connection() as connection:
        await old_deliveries.remove_deleted(connection)


@call(old_deliveries.bound_deliveries)
async def _bound_deliveries(world: World) -> None:
    with move_on_after(0.05):
        await old_deliveries.bound_deliveries(world.predictions)

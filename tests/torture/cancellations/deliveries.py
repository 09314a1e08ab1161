"""Calls of the api's functions about deliveries."""

from uuid import uuid4

from app.api.queries import deliveries
from tests.torture.cancellations.registry import call
from tests.torture.cancellations.world import World


@call(deliveries.list_deliveries)
async def _list_deliveries(world: World) -> None:
    await deliveries.list_deliveries(world.predictions, deliveries.DeliveryFilter("ops"), None, 100)


@call(deliveries.find_delivery)
async def _find_delivery(world: World) -> None:
    await deliveries.find_delivery(world.predictions, uuid4())


@call(deliveries.retry_delivery)
async def _retry_delivery(world: World) -> None:
    await deliveries.retry_delivery(world.predictions, uuid4())


@call(deliveries.add_test)
async def _add_test(world: World) -> None:
    await deliveries.add_test(world.predictions, "ops")


@call(deliveries.withdraw_test)
async def _withdraw_test(world: World) -> None:
    await deliveries.withdraw_test(world.predictions, await deliveries.add_test(world.predictions, "ops"))


@call(deliveries.list_channels)
async def _list_channels(world: World) -> None:
    await deliveries.list_channels(world.predictions, [("ops", "webhook")])

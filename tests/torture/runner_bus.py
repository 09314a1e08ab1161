"""A bus for a runner on which a test sees the runs that are started, and changes what becomes of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast
from uuid import UUID

from msgspec.structs import replace

from app.bus import Bus, Handler
from app.messages import Message, RunEvent, StartRun, Topic
from app.service import ROLES, RoleContext
from app.supervision import Asgi, Work
from tests.torture.guards import service_with

OnEvent = Callable[[StartRun, RunEvent], RunEvent]


class RunnerBus:
    """The bus `bus`, but each event of a run is passed through `on_event` before it is published."""

    def __init__(self, bus: Bus, on_event: OnEvent) -> None:
        self._bus = bus
        self._on_event = on_event
        self._starts: dict[tuple[UUID, int], StartRun] = {}
        self.partition_keys = bus.partition_keys

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        if isinstance(message, RunEvent):
            start = self._starts.get((message.scenario_id, message.attempt))
            message = message if start is None else self._on_event(start, message)
        await self._bus.publish(topic, message, key)

    async def consume(self, topic: Topic, handler: Handler, **options: Any) -> None:
        await self._bus.consume(topic, partial(self._note, handler), **options)

    async def _note(self, handler: Handler, message: Message) -> None:
        if isinstance(message, StartRun):
            self._starts[message.scenario_id, message.attempt] = message
        await handler(message)


def service_with_events(on_event: OnEvent) -> Asgi:
    """Build a service whose runs report what `on_event` makes of their events."""
    runner = next(role for role in ROLES if role.name == "runner")

    async def open_runner(context: RoleContext) -> Work:
        bus = cast("Bus", RunnerBus(context.bus, on_event))
        return await runner.open(replace(context, bus=bus))

    return service_with("runner", open_runner)

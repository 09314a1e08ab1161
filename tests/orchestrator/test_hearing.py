"""The hearing check: a runner's silence counts only while heartbeats could be heard."""

import time
from collections.abc import Sequence

from anyio import TASK_STATUS_IGNORED, Event, sleep
from anyio.abc import TaskStatus

from app.bus import Bus, Handler
from app.messages import Message, Probe, RunnerHeartbeat, Topic
from app.orchestrator.leases import LeaseTiming
from tests.orchestrator.conftest import TIMING, World
from tests.support.waiting import until


class DeafBus:
    """A bus that holds heartbeats and probes back while it is deaf, and delivers them afterwards."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._hears = Event()
        self._hears.set()

    def go_deaf(self) -> None:
        self._hears = Event()

    def hear_again(self) -> None:
        self._hears.set()

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        if isinstance(message, RunnerHeartbeat | Probe):
            await self._hears.wait()
        await self._bus.publish(topic, message, key)

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        await self._bus.consume(topic, handler, group=group, task_status=task_status)

    def partition_keys(self, topic: Topic) -> Sequence[str]:
        return self._bus.partition_keys(topic)


class SlowBus(DeafBus):
    """A bus that takes a while to publish a probe."""

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        if isinstance(message, Probe):
            await sleep(0.15)
        await super().publish(topic, message, key)


async def test_silence_does_not_count_while_nothing_could_be_heard(world: World) -> None:
    bus = DeafBus(world.bus)
    async with world.orchestrator(bus), world.runner(bus=bus) as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        bus.go_deaf()
        await sleep(3 * TIMING.heartbeat_timeout)
        assert (await world.row(scenario_id))["attempt"] == 1
        runner.is_silent = True
        bus.hear_again()
        await world.reaches(scenario_id, "in_startup_processing", attempt=1)
        await until(lambda: world.lost_its_run(scenario_id))


async def test_leases_end_though_the_timeout_is_short_and_the_bus_slow(world: World) -> None:
    timing = LeaseTiming(heartbeat_interval=0.2, heartbeat_timeout=0.6)
    async with world.orchestrator(SlowBus(world.bus), timing=timing), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        runner.is_silent = True
        await until(lambda: world.lost_its_run(scenario_id))


async def test_runs_that_went_on_while_no_orchestrator_was_there_are_not_lost(world: World) -> None:
    async with world.runner() as runner:
        async with world.orchestrator():
            scenario_id = await world.create()
            await runner.started(scenario_id)
        await sleep(2 * TIMING.heartbeat_timeout)
        async with world.orchestrator():
            await sleep(2 * TIMING.heartbeat_timeout)
            assert (await world.row(scenario_id))["attempt"] == 1


async def test_silence_goes_on_counting_when_another_orchestrator_takes_over(world: World) -> None:
    timing = LeaseTiming(heartbeat_interval=0.1, heartbeat_timeout=6.0)
    async with (
        world.orchestrator(timing=timing),
        world.orchestrator(timing=timing),
        world.runner() as runner,
    ):
        scenario_id = await world.create()
        await runner.started(scenario_id)
        runner.is_silent = True
        await until(lambda: silent_for(world, 4.5))
        await world.disconnect_leader()
        disconnected = time.monotonic()
        await until(lambda: world.lost_its_run(scenario_id))
        assert time.monotonic() - disconnected < timing.heartbeat_timeout  # which a new count would take


async def silent_for(world: World, seconds: float) -> bool:
    async with world.database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT lease_renewed_at < clock_timestamp() - make_interval(secs => $1) FROM scenarios",
                seconds,
            )
        )

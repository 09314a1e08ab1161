"""The relay: everything is published, in order for each scenario, whatever fails on the way."""

from collections import defaultdict
from uuid import UUID, uuid4

from anyio import create_task_group

from app.bus import BusUnavailableError
from app.concurrency.wake import Wake
from app.messages import Instance, Message, StopRun, Topic, runner_commands
from app.orchestrator import store
from app.orchestrator.outbox import relay
from app.postgres import Database
from tests.support.waiting import until

INSTANCE = Instance("runner-1", uuid4())
SCENARIOS = [uuid4() for _ in range(5)]


class FailingBus:
    """Publishes into a list, and refuses at every so many calls."""

    def __init__(self, refuse_every: int) -> None:
        self._refuse_every = refuse_every
        self.published: dict[UUID, list[int]] = defaultdict(list)
        self.calls = 0

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        assert topic is runner_commands
        assert isinstance(message, StopRun)
        assert key == str(message.scenario_id)
        self.calls += 1
        if self.calls % self._refuse_every == 0:
            raise BusUnavailableError("the broker is away")
        self.published[message.scenario_id].append(message.attempt)


async def left(database: Database) -> int:
    async with database.connection() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM outbox")
    return count


async def test_nothing_is_lost_and_order_holds_while_the_bus_comes_and_goes(scenarios: Database) -> None:
    for attempt in range(1, 6):
        for scenario_id in SCENARIOS:
            async with scenarios.transaction() as connection:
                stop = StopRun(INSTANCE, scenario_id, attempt)
                await store.send(connection, scenario_id, runner_commands, stop)
    bus = FailingBus(refuse_every=3)
    wake = Wake()
    async with create_task_group() as group:
        group.start_soon(relay, scenarios, bus.publish, runner_commands, wake, 0.01)

        async def empty() -> bool:
            return await left(scenarios) == 0

        await until(empty)
        group.cancel_scope.cancel()
    assert set(bus.published) == set(SCENARIOS)
    for attempts in bus.published.values():
        assert sorted(set(attempts)) == [1, 2, 3, 4, 5]
        firsts = [attempts.index(attempt) for attempt in (1, 2, 3, 4, 5)]
        assert firsts == sorted(firsts)


async def test_what_was_published_is_published_once_while_nothing_fails(scenarios: Database) -> None:
    bus = FailingBus(refuse_every=1000)
    wake = Wake()
    async with create_task_group() as group:
        group.start_soon(relay, scenarios, bus.publish, runner_commands, wake)
        for attempt in range(1, 4):
            async with scenarios.transaction() as connection:
                stop = StopRun(INSTANCE, SCENARIOS[0], attempt)
                await store.send(connection, SCENARIOS[0], runner_commands, stop)
            wake.set()
            await until(lambda: len(bus.published[SCENARIOS[0]]) == attempt)  # noqa: B023 - awaited here
        group.cancel_scope.cancel()
    assert bus.published[SCENARIOS[0]] == [1, 2, 3]

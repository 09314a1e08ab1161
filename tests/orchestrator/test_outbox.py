"""The outbox relay: it publishes every message, in order for each scenario, through outages of the bus."""

from collections import defaultdict
from uuid import UUID, uuid4

import pytest
from anyio import create_task_group, sleep

from app.bus import BusUnavailableError
from app.concurrency.wake import Wake
from app.messages import Instance, Message, StopRun, Topic, runner_commands
from app.orchestrator import outbox, store
from app.orchestrator.outbox import relay
from app.postgres import Connection, Database
from tests.support.waiting import until

INSTANCE = Instance("runner-1", uuid4())
SCENARIOS = [uuid4() for _ in range(5)]


class FailingBus:
    """Publishes into a list, and fails in every `fail_every`-th call."""

    def __init__(self, fail_every: int) -> None:
        self._fail_every = fail_every
        self.published: dict[UUID, list[int]] = defaultdict(list)
        self.calls = 0

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        assert topic is runner_commands
        assert isinstance(message, StopRun)
        assert key == str(message.scenario_id)
        self.calls += 1
        if self.calls % self._fail_every == 0:
            raise BusUnavailableError("the broker is away")
        self.published[message.scenario_id].append(message.attempt)


async def count_unpublished(database: Database) -> int:
    async with database.connection() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM outbox")
    return count


async def test_no_message_is_lost_or_out_of_order_while_the_bus_fails(
    scenarios: Database,
) -> None:
    for attempt in range(1, 6):
        for scenario_id in SCENARIOS:
            async with scenarios.transaction() as connection:
                stop = StopRun(INSTANCE, scenario_id, attempt)
                await store.send(connection, scenario_id, runner_commands, stop)
    bus = FailingBus(fail_every=3)
    wake = Wake()
    async with create_task_group() as group:
        group.start_soon(relay, scenarios, bus.publish, runner_commands, wake, 0.01)

        async def empty() -> bool:
            return await count_unpublished(scenarios) == 0

        await until(empty)
        group.cancel_scope.cancel()
    assert set(bus.published) == set(SCENARIOS)
    for attempts in bus.published.values():
        assert sorted(set(attempts)) == [1, 2, 3, 4, 5]
        firsts = [attempts.index(attempt) for attempt in (1, 2, 3, 4, 5)]
        assert firsts == sorted(firsts)


async def test_a_message_is_published_once_if_nothing_fails(scenarios: Database) -> None:
    bus = FailingBus(fail_every=1000)
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


async def test_nothing_is_asked_again_until_something_can_have_changed(
    scenarios: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def counted(connection: Connection, topic: Topic, limit: int) -> list[outbox.OutboxMessage]:
        nonlocal looks
        looks += 1
        return await pending(connection, topic, limit)

    pending = outbox.pending
    monkeypatch.setattr(outbox, "pending", counted)
    async with scenarios.transaction() as connection:
        await store.send(connection, SCENARIOS[0], runner_commands, StopRun(INSTANCE, SCENARIOS[0], 1))
    bus, wake = FailingBus(fail_every=1000), Wake()
    async with create_task_group() as group:
        group.start_soon(relay, scenarios, bus.publish, runner_commands, wake, 3600)

        async def empty() -> bool:
            return await count_unpublished(scenarios) == 0

        await until(empty)
        await sleep(0.1)
        assert looks == 1
        wake.set()
        await until(lambda: looks == 2)
        group.cancel_scope.cancel()

"""Row 4: many writers that commit late, and relays that are killed: everything arrives, once and in order."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from anyio import create_task_group, sleep, to_thread

from app.bus.kafka.bus import KafkaBus, open_kafka_bus
from app.domain.detector_config import Mock
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import TOPICS, Instance, Message, RunReleased, StartRun, runner_commands
from app.orchestrator import store
from app.orchestrator.decisions import apply_to
from app.orchestrator.lifecycle import AssignRun, create
from app.postgres import Database, open_database
from app.predictions.checkpoint import Fence, FencedError
from app.runner.storing.claims import claim
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.muted_log import muted_log
from tests.torture.outbox.leaders import PARTITIONS, Leaders, leaders

WRITERS, SCENARIOS = 50, 200
EVENTS = size(3_000, 100_000)
UNGUARDED = size(3_000, 10_000)
KILL_EVERY = size(5, 50) / 10
KILLS = 3  # at least
LATE = "looking for late commits"
SPEC = ScenarioSpec("clip.mp4", Mock())

Event = tuple[int, UUID]  # attempt and the boot id of the instance that was chosen, which names the event


class RollbackError(Exception):
    """A writer thought better of it."""


class Writers:
    """Hand runs out, each in a transaction that commits late or not at all, and remember what they did."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._chance = random.Random()
        self.scenarios = [uuid4() for _ in range(SCENARIOS)]
        self.committed: dict[UUID, list[Event]] = defaultdict(list)
        self._left = 0

    async def create(self) -> None:
        async with self._database.connection() as connection:
            for scenario_id in self.scenarios:
                assert await store.insert(connection, [(create(scenario_id, encode_spec(SPEC)), None)])

    async def write(self, events: int) -> None:
        """So many events, all writers together."""
        self._left = events
        async with create_task_group() as group:
            for _ in range(WRITERS):
                group.start_soon(self._write)

    async def close(self) -> None:
        """One last event for each scenario."""
        for scenario_id in self.scenarios:
            await self._hand_out(scenario_id, delay=0)

    async def _write(self) -> None:
        chance = self._chance
        while self._left > 0:
            self._left -= 1
            try:
                await self._hand_out(
                    chance.choice(self.scenarios), delay=chance.expovariate(100), sure=chance.random() < 0.95
                )
            except RollbackError:
                self._left += 1

    async def _hand_out(self, scenario_id: UUID, *, delay: float, sure: bool = True) -> None:
        instance = Instance("runner", uuid4())
        async with self._database.transaction() as connection:
            scenario = await store.lock(connection, scenario_id)
            assert scenario is not None
            if scenario.holder is not None:
                back = RunReleased(scenario_id, scenario.attempt, 0, instance=scenario.holder)
                scenario = (await apply_to(connection, scenario, back)).scenario
            await apply_to(connection, scenario, AssignRun(instance))
            await sleep(delay)
            if not sure:
                raise RollbackError
        self.committed[scenario_id].append((scenario.attempt, instance.boot_id))


class Consumer:
    """Has an effect for each StartRun, deduplicated as runners do: by the fence that their claims pass."""

    def __init__(self, database: Database, *, fenced: bool = True) -> None:
        self._database = database
        self._fenced = fenced
        self.delivered: dict[UUID, list[Event]] = defaultdict(list)
        self.count = 0

    async def take(self, message: Message) -> None:
        assert isinstance(message, StartRun)
        async with self._database.transaction() as connection:
            try:
                if self._fenced:
                    await claim(connection, Fence(message.scenario_id, message.attempt, uuid4()))
            except FencedError:
                pass
            else:
                await connection.execute(
                    "INSERT INTO effects VALUES ($1, $2, $3)",
                    message.scenario_id,
                    message.attempt,
                    message.instance.boot_id,
                )
        self.delivered[message.scenario_id].append((message.attempt, message.instance.boot_id))
        self.count += 1


@dataclass
class Figures:
    """The outcome of the events that were committed."""

    committed: int
    deliveries: int
    lost: int
    invented: int
    inverted: int
    doubled: int
    killed: int = 0

    @property
    def wrong(self) -> int:
        return self.lost + self.invented + self.inverted + self.doubled


async def verify(writers: Writers, consumer: Consumer, effects: Database) -> Figures:
    """Compare what writers committed, what was delivered, and what came of it."""
    async with effects.connection() as connection:
        rows = await connection.fetch("SELECT scenario_id, attempt, boot_id FROM effects")
    had = Counter((row["scenario_id"], (row["attempt"], row["boot_id"])) for row in rows)
    lost = invented = inverted = 0
    for scenario_id in writers.scenarios:
        committed, delivered = writers.committed[scenario_id], consumer.delivered[scenario_id]
        firsts = list(dict.fromkeys(delivered))
        lost += sum(event not in delivered or not had[scenario_id, event] for event in set(committed))
        invented += len(set(delivered) - set(committed))
        inverted += sum(later < earlier for (earlier, _), (later, _) in pairwise(firsts))
    return Figures(
        sum(map(len, writers.committed.values())),
        consumer.count,
        lost,
        invented,
        inverted,
        sum(count - 1 for count in had.values()),
    )


async def kill_leaders(started: Leaders, consumer: Consumer, writing: list[bool]) -> None:
    """Kill each a while after it has begun to relay, as long as anything is written; then let one live."""
    chance = random.Random()
    while writing:
        before = consumer.count
        await to_thread.run_sync(started.start)
        await until(lambda: consumer.count > before or not writing, timeout=180)  # noqa: B023 - awaited here
        await sleep(KILL_EVERY * chance.uniform(0.5, 1.5))
        started.kill()
    await to_thread.run_sync(started.start)


async def play(
    events: int, dsn: str, predictions: Database, kafka: str, *, guard: str = "", fenced: bool = True
) -> Figures:
    """Write so many events while relays come and go; then let the last one finish.

    One that only remembers what it saw last lives all the time: each new one would look at everything.
    """
    prefix = f"outbox-{uuid4().hex[:8]}."
    async with predictions.connection() as connection:
        await connection.execute("CREATE TABLE effects (scenario_id uuid, attempt integer, boot_id uuid)")
    bus: KafkaBus
    with muted_log(), leaders(dsn, kafka, prefix, guard) as started:
        async with (
            open_database(dsn, size=WRITERS, acquire_timeout=60, idle_timeout=60) as database,
            open_kafka_bus([kafka], topics=TOPICS, prefix=prefix, partitions=PARTITIONS) as bus,
            create_task_group() as group,
        ):
            writers, consumer = Writers(database), Consumer(predictions, fenced=fenced)
            await writers.create()
            await group.start(partial(bus.consume, runner_commands, consumer.take))
            writing = [True]
            async with create_task_group() as load:
                if guard == LATE:
                    await to_thread.run_sync(started.start)
                else:
                    load.start_soon(kill_leaders, started, consumer, writing)
                await writers.write(events)
                while guard != LATE and started.killed < KILLS:
                    await writers.write(WRITERS)
                writing.clear()
            await writers.close()
            last = {scenario_id: writers.committed[scenario_id][-1] for scenario_id in writers.scenarios}
            await until(
                lambda: all(event in consumer.delivered[each][-500:] for each, event in last.items()),
                timeout=size(60, 600),
                poll=0.1,
            )
            figures = await verify(writers, consumer, predictions)
            figures.killed = started.killed
            group.cancel_scope.cancel()
    return figures


@pytest.mark.timeout(size(300, 3600))
async def test_every_committed_event_arrives_in_order_and_has_its_effect_once(
    scenarios_dsn: str, predictions: Database, kafka: str, battery: Battery
) -> None:
    figures = await play(EVENTS, scenarios_dsn, predictions, kafka)
    assert figures.wrong == 0, figures
    assert figures.committed >= EVENTS
    assert figures.killed >= KILLS
    battery.passed(
        4,
        f"outbox: {WRITERS} writers that commit late, relays killed",
        f"{figures.committed:,} events, {figures.killed} kills, {figures.deliveries:,} deliveries",
        f"{figures.lost} lost, {figures.inverted} inverted, {figures.doubled} doubled effects",
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("guard", "seen"),
    [
        ("publishing before removing", "lost"),
        (LATE, "lost"),
        ("a fence before effects", "doubled"),
    ],
)
@pytest.mark.timeout(size(300, 3600))
async def test_the_verifier_sees_what_a_missing_guard_loses(
    scenarios_dsn: str, predictions: Database, kafka: str, battery: Battery, guard: str, seen: str
) -> None:
    fenced = guard != "a fence before effects"
    figures = await play(UNGUARDED, scenarios_dsn, predictions, kafka, guard=guard, fenced=fenced)
    count = getattr(figures, seen)
    assert count > 0, figures
    battery.unguarded(4, guard, f"{figures.committed:,} events, {figures.killed} kills", f"{count:,} {seen}")

"""Two runners, one frozen past its lease: the other goes on, and the frozen one lets go when it wakes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from anyio import TASK_STATUS_IGNORED, Event, create_task_group
from anyio.abc import TaskStatus

from app.bus import Bus, Handler
from app.bus.delivery import RetryPolicy
from app.bus.memory import open_memory_bus
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Marker
from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import CreateScenario, Instance, Message, Topic, orchestrator_commands
from app.orchestrator import run_orchestrator
from app.orchestrator.leases import LeaseTiming
from app.postgres import TRANSIENT, Connection, Database
from app.runner.context import RunContext
from app.runner.frames.workers import WorkerLanes, Workers
from app.runner.service import Runner
from tests.support.waiting import until

TIMING = LeaseTiming(heartbeat_interval=0.05, heartbeat_timeout=0.5)


class Ice:
    """What freezes a runner: nothing that it waits for outside returns until it thaws."""

    def __init__(self) -> None:
        self._thawed = Event()
        self._thawed.set()

    def freeze(self) -> None:
        self._thawed = Event()

    def thaw(self) -> None:
        self._thawed.set()

    async def wait(self) -> None:
        await self._thawed.wait()


class FrozenBus:
    """A bus as a runner that can be frozen sees it."""

    def __init__(self, bus: Bus, ice: Ice) -> None:
        self._bus = bus
        self._ice = ice

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        await self._ice.wait()
        await self._bus.publish(topic, message, key)

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        async def handle(message: Message) -> None:
            await self._ice.wait()
            await handler(message)

        await self._bus.consume(topic, handle, group=group, task_status=task_status)

    def partition_keys(self, topic: Topic) -> Sequence[str]:
        return self._bus.partition_keys(topic)


class FrozenDatabase(Database):
    """A database as a runner that can be frozen sees it."""

    def __init__(self, database: Database, ice: Ice) -> None:
        super().__init__(database._pool, 10.0, database._probe)
        self._ice = ice

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        await self._ice.wait()
        async with super().connection() as connection:
            yield connection


async def counts(database: Database, query: str, scenario_id: UUID) -> int:
    async with database.connection() as connection:
        count: int = await connection.fetchval(query, scenario_id) or 0
    return count


async def test_a_frozen_runner_loses_its_runs_and_lets_go_when_it_wakes(
    tmp_path: Path, clips: Path, scenarios_dsn: str, scenarios: Database, predictions: Database
) -> None:
    ice = Ice()
    frozen = FrozenDatabase(predictions, ice)
    spec = ScenarioSpec("minute.mp4", Marker(), sampling=EveryFrame())
    scenario_id = uuid4()
    leave = Event()

    def runner(name: str, bus: Bus, database: Database) -> Runner:
        context = RunContext(
            database, clips, ModelCache(tmp_path), Networks("public"), WorkerLanes(Workers(1))
        )
        return Runner(Instance(name, uuid4()), 4, bus, context, heartbeat_interval=TIMING.heartbeat_interval)

    async with open_memory_bus(RetryPolicy(transient=TRANSIENT)) as bus, create_task_group() as group:
        await group.start(partial(run_orchestrator, scenarios_dsn, scenarios, bus, TIMING, alone=True))
        first = runner("first", FrozenBus(bus, ice), frozen)
        await group.start(partial(first.run, leave))
        command = CreateScenario(uuid4(), scenario_id, encode_spec(spec))
        await bus.publish(orchestrator_commands, command, str(scenario_id))
        stored = "SELECT next_frame FROM checkpoints WHERE scenario_id = $1"
        await until(lambda: counts(predictions, stored, scenario_id))
        ice.freeze()
        second = runner("second", bus, predictions)
        await group.start(partial(second.run, leave))
        attempt = "SELECT attempt FROM checkpoints WHERE scenario_id = $1"
        await until(lambda: counts(predictions, attempt + " AND attempt = 2", scenario_id))
        assert set(first.held) == {(scenario_id, 1)}
        ice.thaw()
        await until(lambda: set(first.held) == set())
        done = "SELECT count(*) FROM scenarios WHERE id = $1 AND outcome = 'completed'"
        await until(lambda: counts(scenarios, done, scenario_id), timeout=60)
        group.cancel_scope.cancel()
    async with predictions.connection() as connection:
        rows = await connection.fetch(
            "SELECT frame, labels FROM predictions WHERE scenario_id = $1 ORDER BY frame", scenario_id
        )
    assert [(row["frame"], row["labels"]) for row in rows] == [
        (frame, f"aruco:{frame % 1000}") for frame in range(1800)
    ]
    assert await counts(scenarios, "SELECT attempt FROM scenarios WHERE id = $1", scenario_id) == 2

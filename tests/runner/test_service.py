"""A runner on a real database and an in-memory bus that can be away."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from anyio import TASK_STATUS_IGNORED, Event, create_task_group, fail_after
from anyio.abc import TaskStatus
from msgspec.structs import replace
from prometheus_client import REGISTRY

from app.bus import BusUnavailableError, Handler
from app.bus.delivery import RetryPolicy
from app.bus.memory import MemoryBus, open_memory_bus
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Mock
from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import (
    ORCHESTRATOR,
    DateResults,
    Instance,
    Message,
    RunFailed,
    RunFinished,
    RunnerHeartbeat,
    RunnerLeaving,
    StartRun,
    StopRun,
    Topic,
    results_changes,
    runner_commands,
    runner_events,
    runner_heartbeats,
)
from app.postgres import TRANSIENT, Connection, Database, open_database
from app.predictions.checkpoint import Checkpoint, Fence
from app.predictions.codec import FRAMES_PER_BLOCK
from app.runner import service
from app.runner.cleanup import retention
from app.runner.context import RunContext
from app.runner.frames.workers import WorkerLanes, Workers
from app.runner.run import Run
from app.runner.service import Runner
from app.runner.storing import claims
from tests.support.proxy import proxied
from tests.support.rows import add_checkpoint, add_found
from tests.support.waiting import until

INSTANCE = Instance("runner-1", uuid4())
LONG = ScenarioSpec("test:testsrc2?size=64x36&rate=100&duration=3600", Mock(), EveryFrame())
SHORT = ScenarioSpec("test:testsrc2?size=64x36&rate=100&duration=1", Mock(), EveryFrame())


class UnsteadyBus:
    """A bus that refuses to publish while it is away."""

    def __init__(self, bus: MemoryBus) -> None:
        self.is_away = False
        self._bus = bus

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        if self.is_away:
            raise BusUnavailableError("the broker is away")
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

    def partition_keys(self, topic: Topic) -> list[str]:
        return list(self._bus.partition_keys(topic))


class World:
    """A runner, and what it says on the bus."""

    def __init__(self, bus: UnsteadyBus, runner: Runner, leave: Event) -> None:
        self.bus = bus
        self.runner = runner
        self.leave = leave
        self.left = Event()
        self.events: list[Message] = []
        self.beats: list[RunnerHeartbeat] = []

    async def hear(self, message: Message) -> None:
        if isinstance(message, RunnerHeartbeat):
            self.beats.append(message)
        else:
            self.events.append(message)

    async def command(self, command: StartRun | StopRun) -> None:
        await self.bus.publish(runner_commands, command, str(command.scenario_id))

    async def start(self, spec: ScenarioSpec = LONG, attempt: int = 1) -> UUID:
        scenario_id = uuid4()
        await self.command(StartRun(INSTANCE, scenario_id, attempt, encode_spec(spec)))
        return scenario_id

    def kinds(self) -> list[str]:
        """What it told: an end may tell of the start, too."""
        kinds = []
        for event in self.events:
            if isinstance(event, RunFinished) and event.media is not None:
                kinds.append("RunStarted")
            kinds.append(type(event).__name__)
        return kinds


@asynccontextmanager
async def world(
    database: Database,
    folder: Path,
    *,
    heartbeat_interval: float = 0.05,
    live_retention_days: float | None = None,
) -> AsyncIterator[World]:
    context = RunContext(database, folder, ModelCache(folder), Networks("loopback"), WorkerLanes(Workers(1)))
    async with open_memory_bus(RetryPolicy(transient=TRANSIENT)) as memory, create_task_group() as group:
        bus = UnsteadyBus(memory)
        runner = Runner(
            INSTANCE,
            4,
            bus,
            context,
            heartbeat_interval=heartbeat_interval,
            live_retention_days=live_retention_days,
        )
        acting = World(bus, runner, Event())

        async def consume(topic: Topic, name: str | None, *, task_status: TaskStatus[None]) -> None:
            await memory.consume(topic, acting.hear, group=name, task_status=task_status)

        async def run(*, task_status: TaskStatus[None]) -> None:
            await runner.run(acting.leave, task_status=task_status)
            acting.left.set()

        await group.start(consume, runner_events, ORCHESTRATOR)
        await group.start(consume, runner_heartbeats, None)
        await group.start(run)
        yield acting
        group.cancel_scope.cancel()


def ended(how: str) -> float:
    """How many runs ended with this event, published or not."""
    return REGISTRY.get_sample_value("videoanalysis_runs_ended_total", {"how": how}) or 0


async def test_a_run_is_reported_until_its_end_is_published(predictions: Database, tmp_path: Path) -> None:
    async with world(predictions, tmp_path) as acting:
        scenario_id = await acting.start()
        await until(lambda: acting.kinds() == ["RunStarted"])
        before = ended("RunStopped")
        acting.bus.is_away = True
        await acting.bus._bus.publish(runner_commands, StopRun(INSTANCE, scenario_id, 1), str(scenario_id))
        await until(lambda: ended("RunStopped") == before + 1)
        assert acting.runner.held == [(scenario_id, 1)]
        acting.bus.is_away = False
        await until(lambda: acting.kinds() == ["RunStarted", "RunStopped"])
        await until(lambda: acting.runner.held == [])


async def test_frames_that_an_earlier_attempt_stored_are_reported_at_once(
    predictions: Database, tmp_path: Path
) -> None:
    """Where each attempt dies soon, nobody else would ever hear of it."""
    async with world(predictions, tmp_path) as before:
        scenario_id = await before.start()
        await until(lambda: any(run.next_frame for beat in before.beats for run in beat.runs))
    async with world(predictions, tmp_path, heartbeat_interval=1000) as acting:
        await until(lambda: len(acting.beats) == 1)
        await acting.command(StartRun(INSTANCE, scenario_id, 2, encode_spec(LONG)))
        await until(lambda: len(acting.beats) == 2)
        assert acting.beats[1].runs[0].next_frame > 0


async def test_a_command_that_comes_twice_begins_one_run(predictions: Database, tmp_path: Path) -> None:
    async with world(predictions, tmp_path) as acting:
        command = StartRun(INSTANCE, uuid4(), 1, encode_spec(SHORT))
        await acting.command(command)
        await acting.command(command)
        await until(lambda: acting.kinds() == ["RunStarted", "RunFinished"])
        await acting.command(command)
        await until(lambda: acting.runner.held == [])
        assert acting.kinds() == ["RunStarted", "RunFinished"]


async def test_runs_that_begin_together_claim_together(
    predictions: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    claim_all = claims.claim_all
    async with world(predictions, tmp_path) as acting:

        async def counted(connection: Connection, fences: Sequence[Fence]) -> list[Checkpoint | None]:
            batches.append(len(fences))
            await until(lambda: len(acting.runner.held) == 4)
            return await claim_all(connection, fences)

        monkeypatch.setattr(claims, "claim_all", counted)
        for _ in range(4):
            await acting.start()
        await until(lambda: acting.kinds() == 4 * ["RunStarted"])
        assert sum(batches) == 4
        assert len(batches) <= 2


async def test_commands_for_another_instance_are_ignored(predictions: Database, tmp_path: Path) -> None:
    async with world(predictions, tmp_path) as acting:
        older = Instance(INSTANCE.runner_id, uuid4())
        await acting.command(StartRun(older, uuid4(), 1, encode_spec(SHORT)))
        scenario_id = await acting.start(SHORT)
        await acting.command(StopRun(older, scenario_id, 1))
        await until(lambda: acting.kinds() == ["RunStarted", "RunFinished"])


async def test_a_bug_costs_one_run(
    predictions: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Run) -> None:
        raise ZeroDivisionError("a fault")

    async with world(predictions, tmp_path) as acting:
        with monkeypatch.context() as patched:
            patched.setattr(Run, "execute", fail)
            await acting.start()
            await until(lambda: acting.kinds() == ["RunFailed"])
        (failed,) = acting.events
        assert isinstance(failed, RunFailed)
        assert failed.retryable
        assert "ZeroDivisionError" in failed.error
        await acting.start(SHORT)
        await until(lambda: acting.kinds() == ["RunFailed", "RunStarted", "RunFinished"])


async def test_a_runner_that_leaves_releases_every_run(predictions: Database, tmp_path: Path) -> None:
    async with world(predictions, tmp_path) as acting:
        for _ in range(3):
            await acting.start()
        await until(lambda: acting.kinds() == 3 * ["RunStarted"])
        acting.leave.set()
        with fail_after(60):
            await acting.left.wait()
        assert acting.kinds()[3:].count("RunReleased") == 3
        assert RunnerLeaving(INSTANCE) in acting.events


async def test_a_runner_that_leaves_while_the_bus_is_away_stores_what_it_has_in_hand(
    predictions: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DRAIN_SECONDS", 1.0)
    async with world(predictions, tmp_path) as acting:
        await acting.start()
        await until(lambda: acting.kinds() == ["RunStarted"])
        before = ended("RunReleased")
        acting.bus.is_away = True
        acting.leave.set()
        with fail_after(60):
            await acting.left.wait()
        assert ended("RunReleased") == before + 1


async def test_a_runner_leaves_in_time_though_its_database_is_silent(
    predictions_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DRAIN_SECONDS", 0.5)
    monkeypatch.setattr("app.postgres.database._CLOSE_TIMEOUT", 0.5)
    async with (
        proxied(predictions_dsn) as proxy,
        open_database(proxy.dsn) as distant,
        world(distant, tmp_path) as acting,
    ):
        for _ in range(4):
            await acting.start()
        await until(lambda: acting.kinds() == 4 * ["RunStarted"])
        proxy.silence()
        acting.leave.set()
        with fail_after(60):
            await acting.left.wait()


async def test_old_predictions_of_live_sources_are_removed(
    predictions: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "POLL", 0.01)
    live = replace(LONG, source=f"{LONG.source}&live=true")
    async with world(predictions, tmp_path, live_retention_days=0.2 / retention.DAY) as acting:
        scenario_id = await acting.start(live)
        blocks = f"test:testsrc2?size=64x36&rate=100&duration={3 * FRAMES_PER_BLOCK / 100}"
        recorded = await acting.start(replace(LONG, source=blocks))

        async def frames(scenario: UUID) -> list[int]:
            async with predictions.connection() as connection:
                rows = await connection.fetch(
                    "SELECT frame FROM predictions WHERE scenario_id = $1 ORDER BY frame", scenario
                )
            return [row["frame"] for row in rows]

        async def forgotten() -> bool:
            return (await frames(scenario_id) or [0])[0] >= FRAMES_PER_BLOCK

        await until(forgotten, timeout=120)
        assert (await frames(recorded))[0] == 0


async def test_a_runner_changes_the_dates_of_stored_events(predictions: Database, tmp_path: Path) -> None:
    scenario_id = uuid4()
    await add_checkpoint(predictions, scenario_id)
    await add_found(predictions, scenario_id, 1, start_time=2.0)

    async def date() -> float | None:
        async with predictions.connection() as connection:
            found: float | None = await connection.fetchval(
                "SELECT extract(epoch FROM at)::float8 FROM events"
            )
        return found

    async def is_changed() -> bool:
        return await date() == 102.0

    async with world(predictions, tmp_path) as acting:
        change = DateResults(scenario_id, 1, 100.0)
        await acting.bus.publish(results_changes, change, str(scenario_id))
        await until(is_changed)

"""An orchestrator on a real database and the in-memory bus, with runners that a test acts for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from anyio import create_task_group, sleep
from msgspec import Raw

from app.bus import Bus
from app.bus.delivery import RetryPolicy
from app.bus.memory import MemoryBus, open_memory_bus
from app.domain.detector_config import Marker
from app.domain.features import FEATURES
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    Instance,
    Message,
    OrchestratorCommand,
    RunEvent,
    RunnerHeartbeat,
    RunnerLeaving,
    RunReport,
    StartRun,
    StopRun,
    runner_commands,
    runner_events,
    runner_heartbeats,
    subject_of,
    topic_of,
)
from app.orchestrator import run_orchestrator
from app.orchestrator.leases import LeaseTiming
from app.postgres import TRANSIENT, Database
from tests.support.waiting import until

TIMING = LeaseTiming(heartbeat_interval=0.05, heartbeat_timeout=0.6)
PATIENT = LeaseTiming(heartbeat_interval=0.05, heartbeat_timeout=30.0)
"""No lease ends during a test, unless the test says why."""


class _NeverSilent(LeaseTiming, frozen=True):
    @property
    def grace(self) -> float:
        return self.heartbeat_timeout


NEVER_SILENT = _NeverSilent(heartbeat_interval=0.05, heartbeat_timeout=30.0)
"""A runner whose heartbeats are late, because the machine is busy, gets runs all the same."""

SPEC = ScenarioSpec("clip.mp4", Marker())

_LOCKS = (
    "FROM pg_locks WHERE locktype = 'advisory' AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class ActedRunner:
    """Takes commands and sends heartbeats like a runner. The test says what its runs do."""

    def __init__(self, bus: Bus, name: str, slots: int) -> None:
        self.instance = Instance(name, uuid4())
        self.commands: list[StartRun | StopRun] = []
        self.runs: dict[tuple[UUID, int], int] = {}
        self.is_silent = False
        self.features: tuple[str, ...] | None = tuple(FEATURES)
        self._bus = bus
        self._slots = slots

    @property
    def starts(self) -> list[StartRun]:
        """The commands to start a run. There may also be stops, of runs that it reports after their end."""
        return [command for command in self.commands if isinstance(command, StartRun)]

    async def take(self, message: Message) -> None:
        assert isinstance(message, StartRun | StopRun)
        if message.instance == self.instance:
            self.commands.append(message)
            if isinstance(message, StartRun):
                self.runs[message.scenario_id, message.attempt] = 0

    async def send_heartbeats(self) -> None:
        while True:
            if not self.is_silent:
                reports = tuple(RunReport(*key, frame) for key, frame in self.runs.items())
                await self._bus.publish(
                    runner_heartbeats,
                    RunnerHeartbeat(self.instance, self._slots, reports, self.features),
                    "r",
                )
            await sleep(TIMING.heartbeat_interval)

    async def report(self, event: RunEvent, *, ends: bool = False) -> None:
        await self._bus.publish(runner_events, event, str(event.scenario_id))
        if ends:
            del self.runs[event.scenario_id, event.attempt]

    async def leave(self) -> None:
        await self._bus.publish(runner_events, RunnerLeaving(self.instance), self.instance.runner_id)

    async def started(self, scenario_id: UUID, attempt: int = 1) -> StartRun:
        """Wait for the command that starts this attempt here."""

        def found() -> list[StartRun]:
            return [
                command
                for command in self.starts
                if (command.scenario_id, command.attempt) == (scenario_id, attempt)
            ]

        return (await until(found))[0]


class World:
    """What a test of the orchestrator acts in."""

    def __init__(self, dsn: str, database: Database, bus: MemoryBus) -> None:
        self.dsn = dsn
        self.database = database
        self.bus = bus

    async def row(self, scenario_id: UUID) -> asyncpg.Record:
        async with self.database.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM scenarios WHERE id = $1", scenario_id)
        assert row is not None
        return row

    async def history(self, scenario_id: UUID) -> list[asyncpg.Record]:
        """The entries of the scenario's history, in order."""
        async with self.database.connection() as connection:
            return await connection.fetch(
                "SELECT * FROM scenario_events WHERE scenario_id = $1 ORDER BY id", scenario_id
            )

    async def states(self, scenario_id: UUID) -> list[str]:
        """The states that the scenario's history went through."""
        return [entry["to_state"] for entry in await self.history(scenario_id)]

    async def states_in_streams(self, scenario_id: UUID) -> list[str]:
        """The same states, in the order in which event streams tell them."""
        entries = sorted(await self.history(scenario_id), key=lambda entry: (entry["xid"], entry["id"]))
        return [entry["to_state"] for entry in entries]

    async def reaches(self, scenario_id: UUID, state: str, attempt: int = 1) -> None:
        async def there() -> bool:
            row = await self.row(scenario_id)
            return bool(row["state"] == state and row["attempt"] == attempt)

        await until(there)

    async def lost_its_run(self, scenario_id: UUID) -> bool:
        """Whether a further attempt began or waits to begin."""
        return bool((await self.row(scenario_id))["attempt"] > 1)

    async def knows_runners(self, count: int) -> bool:
        async with self.database.connection() as connection:
            return bool(await connection.fetchval("SELECT count(*) = $1 FROM runners", count))

    async def count_leaders(self) -> int:
        async with self.database.connection() as connection:
            count: int = await connection.fetchval(f"SELECT count(*) {_LOCKS}")
        return count

    async def disconnect_leader(self) -> None:
        async with self.database.connection() as connection:
            await connection.execute(f"SELECT pg_terminate_backend(pid) {_LOCKS}")

    async def send(self, command: OrchestratorCommand) -> str:
        """Publish a command, which returns once it is handled, and read its answer."""
        await self.bus.publish(topic_of(command), command, str(subject_of(command)))
        async with self.database.connection() as connection:
            answer: str = await connection.fetchval(
                "SELECT answer FROM handled_commands WHERE command_id = $1", command.command_id
            )
        return answer

    async def create(self, spec: ScenarioSpec = SPEC, *needs: str) -> UUID:
        return await self.create_from(encode_spec(spec), *needs)

    async def create_from(self, spec: Raw, *needs: str) -> UUID:
        scenario_id = uuid4()
        assert await self.send(CreateScenario(uuid4(), scenario_id, spec, needs)) == "done"
        return scenario_id

    @asynccontextmanager
    async def orchestrator(
        self, bus: Bus | None = None, *, timing: LeaseTiming = TIMING, alone: bool = False, **options: Any
    ) -> AsyncIterator[None]:
        async with create_task_group() as group:
            await group.start(
                partial(
                    run_orchestrator, self.dsn, self.database, bus or self.bus, timing, alone=alone, **options
                )
            )
            yield
            group.cancel_scope.cancel()

    @asynccontextmanager
    async def runner(
        self, name: str = "runner-1", slots: int = 4, bus: Bus | None = None
    ) -> AsyncIterator[ActedRunner]:
        runner = ActedRunner(bus or self.bus, name, slots)
        async with create_task_group() as group:
            await group.start(partial((bus or self.bus).consume, runner_commands, runner.take))
            group.start_soon(runner.send_heartbeats)
            yield runner
            group.cancel_scope.cancel()


@pytest.fixture
async def world(scenarios_dsn: str, scenarios: Database) -> AsyncIterator[World]:
    async with open_memory_bus(RetryPolicy(transient=TRANSIENT, first_retry=0.01)) as bus:
        yield World(scenarios_dsn, scenarios, bus)

"""Rows of both databases that every call finds work in, and the inputs of calls."""

import random
from collections.abc import Callable
from typing import cast
from uuid import UUID, uuid4

from app.api import ApiDeps
from app.bus import Bus
from app.domain.detector_config import Marker
from app.domain.media import Media
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    DeleteScenario,
    DropResults,
    Instance,
    Message,
    OrchestratorCommand,
    RunFinished,
    RunnerHeartbeat,
    StartScenario,
    StopScenario,
    Topic,
    UpdateScenario,
    results_commands,
)
from app.orchestrator import handlers, heartbeats, store
from app.orchestrator.lifecycle import AssignRun, Input, LoseRun, TellRunner, create
from app.postgres import Database
from app.predictions.checkpoint import Fence

MEDIA = Media(width=640, height=360, fps=30.0)
SPEC = ScenarioSpec("clip.mp4", Marker())


class HandlingBus:
    """A bus on which the orchestrator handles each command when it is published."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, _topic: Topic, message: Message, **_: str) -> None:
        await handlers.handle_command(self._database, message)


class World:
    """Both databases and the rows in them."""

    def __init__(self, scenarios: Database, predictions: Database, dsn: str, chance: random.Random) -> None:
        self.scenarios = scenarios
        self.predictions = predictions
        self.dsn = dsn
        self.chance = chance
        self.deps = ApiDeps(scenarios, predictions, cast("Bus", HandlingBus(scenarios)))
        self.instances = [Instance(f"runner-{number}", uuid4()) for number in range(3)]
        self.known: list[UUID] = []
        self.recorded = [uuid4() for _ in range(5)]
        self.created: dict[UUID, UUID] = {}  # scenario → the command that created it
        self.stopped: dict[UUID, UUID] = {}  # scenario → the only command that stops it
        self.seeded: set[UUID] = set()
        self.published: set[UUID] = set()

    async def seed(self) -> None:
        """Insert the first rows."""
        for instance in self.instances:
            async with self.scenarios.connection() as connection:
                await heartbeats.note_instance(connection, RunnerHeartbeat(instance, 100, ()))
        for _ in range(20):
            async with self.scenarios.transaction() as connection:
                scenario_id = uuid4()
                await store.insert(connection, [(create(scenario_id, encode_spec(SPEC)), None)])
                self.known.append(scenario_id)
        for _ in range(200):
            await self.seed_outbox()

    async def seed_outbox(self) -> None:
        """Insert a message to publish."""
        scenario_id = uuid4()
        async with self.scenarios.transaction() as connection:
            await store.send(connection, scenario_id, results_commands, DropResults(scenario_id))
        self.seeded.add(scenario_id)

    def any_scenario(self) -> UUID:
        return self.chance.choice(self.known)

    def some_scenarios(self) -> list[UUID]:
        return self.chance.sample(self.known, 3)

    def any_instance(self) -> Instance:
        return self.chance.choice(self.instances)

    def any_input(self, scenario_id: UUID) -> Input:
        inputs: list[Input] = [
            AssignRun(self.any_instance()),
            StopScenario(uuid4(), scenario_id),
            StartScenario(uuid4(), scenario_id),
            TellRunner(),
            LoseRun("it was silent"),
            RunFinished(scenario_id, 1, 90),
        ]
        return self.chance.choice(inputs)

    def any_command(self) -> OrchestratorCommand:
        known = self.any_scenario()
        asked: list[Callable[[], OrchestratorCommand]] = [
            self.new_scenario,
            self._stop_a_created_one,
            lambda: StopScenario(uuid4(), known),
            lambda: StartScenario(uuid4(), known),
            lambda: DeleteScenario(uuid4(), uuid4()),
            lambda: UpdateScenario(uuid4(), known, str(uuid4()), ("gate",)),
            lambda: CreateScenario(uuid4(), uuid4(), encode_spec(SPEC), replaces=known),
        ]
        return self.chance.choice(asked)()

    def new_scenario(self) -> CreateScenario:
        command = CreateScenario(uuid4(), uuid4(), encode_spec(SPEC))
        self.created[command.scenario_id] = command.command_id
        return command

    def _stop_a_created_one(self) -> OrchestratorCommand:
        left = self.created.keys() - self.stopped.keys()
        if not left:
            return self.new_scenario()
        command = StopScenario(uuid4(), left.pop())
        self.stopped[command.scenario_id] = command.command_id
        return command

    def fence(self, scenario_id: UUID) -> Fence:
        """Return the fence of a scenario, always the same one."""
        return Fence(scenario_id, 1, scenario_id)

    async def publish(self, _topic: Topic, message: Message, _key: str) -> None:
        """Record that the message was published."""
        assert isinstance(message, DropResults)
        self.published.add(message.scenario_id)

"""Messages of every kind in any order and any number, to the real store; the model is told the same."""

import copy
from datetime import UTC, datetime
from uuid import UUID, uuid4

from anyio import create_task_group
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.domain.detector_config import Marker
from app.domain.media import Media
from app.domain.spec import RestartPolicy, ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    DeleteScenario,
    Instance,
    LifecycleCommand,
    RunEvent,
    RunFailed,
    RunFinished,
    RunnerHeartbeat,
    RunnerLeaving,
    RunReleased,
    RunReport,
    RunStarted,
    RunStopped,
    StartRun,
    StartScenario,
    StopScenario,
)
from app.orchestrator.handlers import handle_command, handle_event
from tests.torture.lifecycle.differences import differences, outbox_starts
from tests.torture.lifecycle.duties import Duties
from tests.torture.lifecycle.example_database import AGE, DUE_NOW, ExampleDatabase, Stored
from tests.torture.lifecycle.model import Model, Report
from tests.torture.lifecycle.verifier import Truth

NAMES = ("north", "south")
SLOTS = 2
MEDIA = Media(640, 360)

COMMANDS = (StartScenario, StartScenario, StopScenario, StopScenario, DeleteScenario)
MISHAPS = (
    "a runner falls silent",
    "a runner leaves",
    "a runner is started again",
    "another orchestrator leads",
    "the service was started again",
)

specs = st.builds(
    ScenarioSpec,
    st.sampled_from(["a.mp4", "b.mp4"]),
    st.just(Marker()),
    restart=st.builds(RestartPolicy, st.sampled_from(["never", "on_failure", "always"]), st.integers(0, 2)),
)
lately = st.integers(0, 3)  # how many runs before the last
anything = st.sampled_from(["start", "stop", "started", "stopped", "finished", "failed", "released"])
endings = st.sampled_from(["stopped", "finished", "failed", "hopeless", "released"])


class Orchestration(RuleBasedStateMachine):
    """One interleaving."""

    commands = Bundle("commands")
    events = Bundle("events")

    def __init__(self, examples: ExampleDatabase) -> None:
        super().__init__()
        self.examples = examples
        self.model = Model()
        self.truth = Truth()
        self.scenarios: list[UUID] = []
        self.instances = [Instance(name, uuid4()) for name in NAMES]
        self.starts: list[StartRun] = []
        self.held: dict[Instance, dict[tuple[UUID, int], int]] = {}
        self.stored = Stored([], [], [], {})
        self.leader = Duties(examples)

    @initialize(specs=st.lists(specs, min_size=2, max_size=2))
    def begin(self, specs: list[ScenarioSpec]) -> None:
        for instance in self.instances:
            self._heartbeat(instance)
        for spec in specs:
            self.scenarios.append(uuid4())
            self._take(CreateScenario(uuid4(), self.scenarios[-1], encode_spec(spec)))
        self.lead("all")

    # What users send.

    @rule(spec=specs, known=st.integers(0, 3), target=commands)
    def create(self, spec: ScenarioSpec, known: int) -> LifecycleCommand:
        """Mostly under an id that there is already: then it is the same scenario, or refused."""
        if not known and len(self.scenarios) < 3:
            self.scenarios.append(uuid4())
        scenario_id = self.scenarios[-1 - known % len(self.scenarios)]
        return self._command(CreateScenario(uuid4(), scenario_id, encode_spec(spec)))

    @rule(kind=st.sampled_from(COMMANDS), which=lately, target=commands)
    def command(
        self, kind: type[StartScenario | StopScenario | DeleteScenario], which: int
    ) -> LifecycleCommand:
        return self._command(kind(uuid4(), self.scenarios[-1 - which % len(self.scenarios)]))

    @precondition(lambda self: self.starts)
    @rule(which=lately, target=commands)
    def stop_and_start_again(self, which: int) -> LifecycleCommand:
        """As a user who changed their mind, of whose commands the one or the other will come again."""
        start = self.starts[-1 - which % len(self.starts)]
        stop = self._command(StopScenario(uuid4(), start.scenario_id))
        self._take(RunStopped(start.scenario_id, start.attempt, 0))
        again = self._command(StartScenario(uuid4(), start.scenario_id))
        return stop if which % 2 else again

    @rule(command=commands)
    def command_comes_again(self, command: LifecycleCommand) -> None:
        self._command(command)

    # What runs say: at once, late, again and in another order; also those of long ago.

    @precondition(lambda self: self.starts)
    @rule(which=lately, further=st.integers(0, 5), target=events)
    def first_frame(self, which: int, further: int) -> RunEvent:
        return self._deliver(self._event("started", which, further))

    @precondition(lambda self: self.starts)
    @rule(kind=endings, which=lately, further=st.integers(0, 5), target=events)
    def end(self, kind: str, which: int, further: int) -> RunEvent:
        return self._deliver(self._event(kind, which, further))

    @precondition(lambda self: self.starts)
    @rule(kind=endings | st.just("started"), which=lately, further=st.integers(0, 5), target=events)
    def event_is_held_up(self, kind: str, which: int, further: int) -> RunEvent:
        return self._event(kind, which, further)

    @rule(event=events)
    def event_comes_late_or_again(self, event: RunEvent) -> None:
        self._deliver(event)

    @precondition(lambda self: self.starts)
    @rule(one=anything, other=anything | st.just("the same"), which=lately)
    def two_at_once(self, one: str, other: str, which: int) -> None:
        """Whichever comes first, the outcome is that of one after the other."""
        first = self._message(one, which)
        second = first if other == "the same" else self._message(other, which)

        async def both() -> None:
            async with create_task_group() as group:
                group.start_soon(self._handle, first)
                group.start_soon(self._handle, second)

        self._sent(first)
        self._sent(second)
        self.examples.run(both())
        orders = []
        for order in ((first, second), (second, first)):
            model = copy.deepcopy(self.model)
            for message in order:
                model.take(message)
            orders.append(model)
        self._read()
        self.model = next((model for model in orders if not differences(self.stored, model)), orders[0])

    @precondition(lambda self: len(self.scenarios) < 6)
    @rule(spec=specs, later=st.integers(1, 5))
    def create_while_runs_are_dispatched(self, spec: ScenarioSpec, later: int) -> None:
        """The create comes so many questions to the database later than the dispatching begins."""
        self.scenarios.append(uuid4())
        create = CreateScenario(uuid4(), self.scenarios[-1], encode_spec(spec))

        async def both() -> None:
            await self.examples.connection.execute(DUE_NOW)
            async with create_task_group() as group:
                group.start_soon(self.leader.dispatcher.dispatch)
                for _ in range(later):
                    await self.examples.connection.execute("SELECT")
                await self._handle(create)

        self._sent(create)
        self.examples.run(both())
        self._read()
        self.model.take(create)
        self._assign()

    # What runners do.

    @precondition(lambda self: self.held)
    @rule(which=st.sampled_from([0, 0, 0, 1, 2]), name=st.sampled_from(NAMES))
    def heartbeat(self, which: int, name: str) -> None:
        """Also of earlier lives."""
        lives = [instance for instance in self.held if instance.runner_id == name]
        self._heartbeat(lives[-1 - which % len(lives)])

    @rule(mishap=st.sampled_from(MISHAPS), name=st.integers(0, 1))
    def mishap(self, mishap: str, name: int) -> None:
        instance = self.instances[name]
        match mishap:
            case "a runner falls silent":
                for query in AGE:
                    self.examples.run(
                        self.examples.connection.execute(query, instance.runner_id, instance.boot_id)
                    )
                self._note_lost(instance)
                self.model.fall_silent(instance)
            case "a runner leaves":
                self._take(RunnerLeaving(instance))
            case "another orchestrator leads":
                self.leader = Duties(self.examples)
                for machine in self.model.machines.values():
                    machine.orphaned = set()
            case "the service was started again":
                self._note_lost(*self.held)
                self.examples.run(self.leader.rescuer.end_every_lease())
                self.model.end_every_lease()
        if mishap not in ("a runner falls silent", "another orchestrator leads"):
            self._note_lost(instance)
            self.instances[name] = Instance(NAMES[name], uuid4())
            self._heartbeat(self.instances[name])

    # What the leader does.

    @rule(what=st.sampled_from(["all", "all", "dispatch", "tell", "end leases"]))
    def lead(self, what: str) -> None:
        if what in ("all", "end leases"):
            self.examples.run(self.leader.rescuer.end_leases(datetime.now(UTC)))
            self.model.end_leases()
        if what in ("all", "tell"):
            self.examples.run(self.leader.dispatcher.pass_stops_on())
            self.model.tell()
        if what in ("all", "dispatch"):
            self.examples.run(self.examples.connection.execute(DUE_NOW))
            self.examples.run(self.leader.dispatcher.dispatch())
            self._read()
            self._assign()
            stuck = any(
                life.state == "init_startup" and self.model.free(instance)
                for life in self.model.lives.values()
                for instance in self.model.machines
            )
            assert not (stuck and self.examples.comparing), "somebody waits although there is room"

    @rule()
    def go_on(self) -> None:
        """As undisturbed: whatever waits is dispatched, and begins."""
        self.lead("all")
        self.store_and_model_agree()
        for start in self.starts[-2:]:
            self._take(RunStarted(start.scenario_id, start.attempt, 0, media=MEDIA))

    @invariant()
    def store_and_model_agree(self) -> None:
        self._read()
        self.examples.steps += 1
        if self.examples.comparing:
            assert not self.model.disagreed, self.model.disagreed
            found = differences(self.stored, self.model)
            assert not found, found
        for start in outbox_starts(self.stored)[len(self.starts) :]:
            self.starts.append(start)
            self.held.setdefault(start.instance, {})[start.scenario_id, start.attempt] = 0

    def teardown(self) -> None:
        verdict = self.examples.run(self.examples.verify(self.truth))
        if self.examples.comparing:
            assert not verdict.illegal, verdict.illegal

    def _command(self, command: LifecycleCommand) -> LifecycleCommand:
        self._take(command)
        return command

    def _message(self, kind: str, which: int) -> LifecycleCommand | RunEvent:
        if kind in ("start", "stop"):
            scenario_id = self.starts[-1 - which % len(self.starts)].scenario_id
            return (StartScenario if kind == "start" else StopScenario)(uuid4(), scenario_id)
        return self._event(kind, which, 1)

    def _event(self, kind: str, which: int, further: int) -> RunEvent:
        start = self.starts[-1 - which % len(self.starts)]
        key = (start.scenario_id, start.attempt)
        mine = self.held[start.instance]
        frame = mine.get(key, 0) + further
        if kind != "started":
            mine.pop(key, None)
        elif key in mine:
            mine[key] = frame
        match kind:
            case "started":
                return RunStarted(*key, frame, media=MEDIA)
            case "stopped":
                return RunStopped(*key, frame)
            case "finished":
                return RunFinished(*key, frame)
            case "released":
                return RunReleased(*key, frame, instance=start.instance)
            case _:
                return RunFailed(*key, frame, error="it broke", retryable=kind == "failed")

    def _deliver(self, event: RunEvent) -> RunEvent:
        self._take(event)
        return event

    def _heartbeat(self, instance: Instance) -> None:
        runs = self.held.setdefault(instance, {})
        for key in runs:
            runs[key] += 1
        reports = tuple(RunReport(*key, frame) for key, frame in runs.items())
        self._take(RunnerHeartbeat(instance, SLOTS, reports))

    def _take(self, message: Report) -> None:
        self._sent(message)
        self.examples.run(self._handle(message))
        self.model.take(message)

    def _sent(self, message: Report) -> None:
        if isinstance(message, LifecycleCommand):
            self.truth.commands[message.command_id] = message
        elif isinstance(message, RunEvent):
            self.truth.said[type(message)].add((message.scenario_id, message.attempt))

    async def _handle(self, message: Report) -> None:
        if isinstance(message, RunnerHeartbeat):
            await self.leader.heartbeats.hear(message)
        elif isinstance(message, LifecycleCommand):
            await handle_command(self.examples.database, message)
        else:
            await handle_event(self.examples.database, message)

    def _assign(self) -> None:
        """What was dispatched since the last look."""
        for start in outbox_starts(self.stored)[len(self.starts) :]:
            self.model.assign(start.scenario_id, start.instance)

    def _note_lost(self, *instances: Instance) -> None:
        """What was dispatched to these may be lost from now on."""
        self.truth.lost |= {
            (start.scenario_id, start.attempt) for start in self.starts if start.instance in instances
        }

    def _read(self) -> None:
        self.stored = self.examples.run(self.examples.read())

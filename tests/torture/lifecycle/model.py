"""What becomes of scenarios, written from the lifecycle as it was designed and not from the code under test.

Beside each of its scenarios the model keeps what the pure lifecycle under test makes of the same messages.
"""

from dataclasses import dataclass, field
from uuid import UUID

from msgspec.structs import replace

from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import decode_spec
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
    RunStarted,
    RunStopped,
    StartRun,
    StartScenario,
    StopRun,
    StopScenario,
)
from app.orchestrator.lifecycle import (
    MAX_BACKOFF,
    AssignRun,
    Decision,
    Input,
    LoseRun,
    ScenarioRecord,
    TellRunner,
    create,
    decide,
)

Report = LifecycleCommand | RunEvent | RunnerLeaving | RunnerHeartbeat
Move = tuple[str | None, str, int]
Sent = tuple[str, int, Instance | None]

WAITING, STARTING, ACTIVE = "init_startup", "in_startup_processing", "active"
STOPPING, DRAINING, INACTIVE = "init_shutdown", "in_shutdown_processing", "inactive"


@dataclass
class Life:
    """One scenario: what its row, its history and its outbox must say."""

    spec: ScenarioSpec
    pure: ScenarioRecord
    state: str = WAITING
    outcome: str | None = None
    attempt: int = 1
    holder: Instance | None = None
    failures: int = 0
    frame: int = 0
    progressed: bool = False
    deleted: bool = False
    silent: bool = False
    history: list[Move] = field(default_factory=lambda: [(None, WAITING, 1)])
    outbox: list[Sent] = field(default_factory=list)

    def start(self) -> str:
        if self.state in (STOPPING, DRAINING):
            return "conflict"
        if self.state == INACTIVE:
            self.failures = 0
            self._again()
        return "done"

    def stop(self) -> str:
        if self.state in (WAITING, STARTING, ACTIVE):
            waited = self.state == WAITING
            self._to(STOPPING)
            if waited:
                self._end("stopped")
        return "done"

    def delete(self) -> str:
        if self.state != INACTIVE:
            return "conflict"
        self._to(INACTIVE)
        self.deleted = True
        self.outbox.append(("DropResults", 0, None))
        return "done"

    def assign(self, instance: Instance) -> None:
        self._to(STARTING)
        self.holder, self.silent = instance, False
        self.outbox.append(("StartRun", self.attempt, instance))

    def tell(self) -> None:
        if self.state == STOPPING:
            self._to(DRAINING)
            self.outbox.append(("StopRun", self.attempt, self.holder))

    def lose(self) -> None:
        """Its lease ended."""
        self._broken(retryable=True, stopping="stopped")

    def hear(self, event: RunEvent) -> None:
        """What a run reports counts if it is the run of the current attempt."""
        if event.attempt != self.attempt:
            return
        self.note_frame(event.next_frame)
        running = self.holder is not None
        match event:
            case RunStarted() if self.state == STARTING:
                self._to(ACTIVE)
            case RunFinished() if running or (self.state == INACTIVE and self.outcome != "completed"):
                self._end("completed")
            case RunFailed(retryable=retryable) if running:
                self._broken(retryable=retryable, stopping="failed")
            case RunStopped() | RunReleased() if running and self.state in (STARTING, ACTIVE):
                self._again()
            case RunStopped() | RunReleased() if running:
                self._end("stopped")

    def note_frame(self, frame: int) -> None:
        if frame > self.frame:
            self.frame, self.progressed = frame, True

    def _broken(self, *, retryable: bool, stopping: str) -> None:
        if self.state in (STOPPING, DRAINING):
            self._end(stopping)
        elif self.state in (STARTING, ACTIVE):
            restart = self.spec.restart
            if not retryable:
                return self._end("failed")
            self.failures = 0 if self.progressed else self.failures + 1
            spent = restart.policy == "on_failure" and self.failures > restart.max_restarts
            if spent or restart.policy == "never":
                self._end("failed")
            else:
                self._again()
        return None

    def _again(self) -> None:
        self.attempt += 1
        self.outcome, self.holder, self.progressed = None, None, False
        self._to(WAITING)

    def _end(self, outcome: str) -> None:
        self.outcome, self.holder = outcome, None
        self._to(INACTIVE)

    def _to(self, state: str) -> None:
        self.history.append((self.state, state, self.attempt))
        self.state = state


@dataclass
class Machine:
    """A runner instance, as far as the orchestrator knows it."""

    slots: int
    left: bool = False
    replaced: bool = False
    silent: bool = False
    orphaned: set[tuple[UUID, int]] = field(default_factory=set)


class Model:
    """Everything that the orchestrator knows, but the time."""

    def __init__(self) -> None:
        self.lives: dict[UUID, Life] = {}
        self.answers: dict[UUID, str] = {}
        self.machines: dict[Instance, Machine] = {}
        self.disagreed: list[str] = []

    def take(self, message: Report) -> None:
        """A message of any kind is handled."""
        match message:
            case RunnerHeartbeat():
                self._take_heartbeat(message)
            case RunnerLeaving(instance=instance):
                self.machines.setdefault(instance, Machine(0)).left = True
            case CreateScenario() | StartScenario() | StopScenario() | DeleteScenario():
                if message.command_id not in self.answers:
                    self.answers[message.command_id] = self._command(message)
            case _:
                life = self.lives.get(message.scenario_id)
                if life is not None and not life.deleted:
                    life.hear(message)
                    self._agree(life, message)
                if isinstance(message, RunReleased):
                    self.machines.setdefault(message.instance, Machine(0)).left = True

    def assign(self, scenario_id: UUID, instance: Instance) -> None:
        """The leader dispatched a run: to which runner is its choice, among those that may have it."""
        life = self.lives[scenario_id]
        if life.state != WAITING or not self.free(instance):
            self.disagreed.append(f"{life} was dispatched to {instance}, which may not have it")
            return
        life.assign(instance)
        self._agree(life, AssignRun(instance))

    def free(self, instance: Instance) -> bool:
        """Whether it may be given one more run."""
        machine = self.machines[instance]
        used = sum(life.holder == instance for life in self.lives.values())
        return not (machine.left or machine.replaced or machine.silent) and used < machine.slots

    def tell(self) -> None:
        """The leader passed every stop on."""
        for life in self.lives.values():
            life.tell()
            self._agree(life, TellRunner())

    def end_leases(self) -> None:
        """The leader ended the leases that nothing was heard of, or whose instance was replaced."""
        for life in self.lives.values():
            if life.holder is not None and (life.silent or self.machines[life.holder].replaced):
                life.lose()
                self._agree(life, LoseRun("lost"))

    def end_every_lease(self) -> None:
        """A process that is alone was started."""
        for machine in self.machines.values():
            machine.replaced = True
        self.end_leases()

    def fall_silent(self, instance: Instance) -> None:
        """Nothing is heard of an instance for longer than leases last."""
        self.machines[instance].silent = True
        for life in self.lives.values():
            life.silent = life.silent or life.holder == instance

    def _take_heartbeat(self, beat: RunnerHeartbeat) -> None:
        if beat.instance not in self.machines:
            for other, machine in self.machines.items():
                machine.replaced = machine.replaced or other.runner_id == beat.instance.runner_id
            self.machines[beat.instance] = Machine(beat.slots)
        machine = self.machines[beat.instance]
        machine.slots, machine.silent = beat.slots, False
        orphaned = set()
        for run in beat.runs:
            life = self.lives[run.scenario_id]
            if (life.holder, life.attempt) == (beat.instance, run.attempt):
                life.silent = False
                life.note_frame(run.next_frame)
                life.pure = _with_frame(life.pure, run.next_frame)
            else:
                orphaned.add((run.scenario_id, run.attempt))
        for scenario_id, attempt in orphaned & machine.orphaned:
            self.lives[scenario_id].outbox.append(("StopRun", attempt, beat.instance))
        machine.orphaned = orphaned

    def _command(self, command: LifecycleCommand) -> str:
        life = self.lives.get(command.scenario_id)
        if isinstance(command, CreateScenario):
            if life is None:
                pure = create(command.scenario_id, command.spec).scenario
                self.lives[command.scenario_id] = Life(decode_spec(command.spec), pure)
                return "done"
            if life.deleted:
                return "conflict"
            return "done" if life.spec == decode_spec(command.spec) else "mismatch"
        if life is None or life.deleted:
            return "unknown"
        match command:
            case StartScenario():
                answer = life.start()
            case StopScenario():
                answer = life.stop()
            case _:
                answer = life.delete()
        decision = self._agree(life, command)
        if decision.answer != answer:
            self.disagreed.append(f"{command}: answered {decision.answer}, not {answer}")
        return answer

    def _agree(self, life: Life, message: Input) -> Decision:
        """Let the pure lifecycle decide the same, and compare."""
        before = life.pure
        decision = decide(before, message)
        life.pure = after = decision.scenario
        found = (str(after.state), after.outcome, after.attempt, after.holder, after.failures)
        wanted = (life.state, life.outcome, life.attempt, life.holder, life.failures)
        if (*found, after.next_frame, after.is_deleted) != (*wanted, life.frame, life.deleted):
            self.disagreed.append(f"{message}: {before} became {after}, not {wanted}")
        steps = [(step.before and str(step.before), str(step.after)) for step in decision.steps]
        if steps != [move[:2] for move in life.history[len(life.history) - len(steps) :]]:
            self.disagreed.append(f"{message}: {before} went through {steps}, not {life.history}")
        if [sent_by(each) for _, each in decision.send] != life.outbox[
            len(life.outbox) - len(decision.send) :
        ]:
            self.disagreed.append(f"{message}: {decision.send} was sent, not {life.outbox}")
        if not all(step.reason for step in decision.steps) or not 0 <= after.delay <= 2 * MAX_BACKOFF:
            self.disagreed.append(f"{message}: {decision}")
        return decision


def sent_by(message: object) -> Sent:
    """What an outbox message says, in the model's words."""
    if isinstance(message, StartRun | StopRun):
        return type(message).__name__, message.attempt, message.instance
    return type(message).__name__, 0, None


def _with_frame(scenario: ScenarioRecord, frame: int) -> ScenarioRecord:
    if frame <= scenario.next_frame:
        return scenario
    return replace(scenario, next_frame=frame, progressed=True)

"""A scenario's life, as a pure function: (scenario, message) → what is true next and what must be sent.

Nothing here waits, reads a clock or knows a database. `decide` is the table: what a state does not name, it
leaves as it is.
"""

from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from ..domain.media import Media
from ..domain.spec import ScenarioSpec
from ..domain.states import Outcome, State
from ..messages import (
    DeleteScenario,
    DropResults,
    Instance,
    Message,
    OrchestratorCommand,
    RunEvent,
    RunFailed,
    RunFinished,
    RunReleased,
    RunStarted,
    RunStopped,
    StartRun,
    StartScenario,
    StopRun,
    StopScenario,
    Topic,
    results_commands,
    runner_commands,
)

MAX_BACKOFF = 30.0
APART = 2.0
"""Seconds between the next attempts of suspects that were lost together: should one of them be why, the
others get the time to store something. A suspect is a run that, like the one before it, stored nothing."""
ALONE = 10.0
"""Seconds that a run has to itself when one more loss would be its last: whatever was lost together with it
waits so long. Time to load a model, open a source and store something."""


class Scenario(Struct, frozen=True):
    """One scenario as the orchestrator knows it.

    `attempt` grows on every entry into init_startup and fences off older runs. `failures` counts
    consecutive attempts that stored nothing new; `progressed` says whether this one stored anything.
    `holder` is the runner instance that was given the run. `delay` is how many seconds from now the next
    hand-out may come.
    """

    id: UUID
    spec: ScenarioSpec
    state: State = State.INIT_STARTUP
    outcome: Outcome | None = None
    error: str | None = None
    attempt: int = 1
    holder: Instance | None = None
    failures: int = 0
    next_frame: int = 0
    progressed: bool = False
    media: Media | None = None
    delay: float = 0.0
    deleted: bool = False


class AssignRun(Struct, frozen=True):
    """The leader chose a runner instance with a free slot."""

    instance: Instance


class TellRunner(Struct, frozen=True):
    """The leader passes a stop on to the runner."""


class LoseRun(Struct, frozen=True):
    """The leader saw the lease end: nobody holds the run any more.

    `suspects`: how many of them were lost just before. `reserved`: for how many seconds from now one of
    those has its runner to itself.
    """

    reason: str
    suspects: int = 0
    reserved: float = 0.0


Input = OrchestratorCommand | RunEvent | AssignRun | TellRunner | LoseRun


class Step(Struct, frozen=True):
    """One transition, for the history."""

    before: State | None
    after: State
    reason: str


class Decision(Struct, frozen=True):
    """What is true next, how it came to be, what must be sent, and (for commands) what to answer."""

    scenario: Scenario
    steps: tuple[Step, ...] = ()
    send: tuple[tuple[Topic, Message], ...] = ()
    answer: Literal["done", "conflict"] = "done"
    detail: str = ""


def create(scenario_id: UUID, spec: ScenarioSpec) -> Decision:
    """A new scenario, waiting for a runner."""
    return Decision(Scenario(scenario_id, spec), (Step(None, State.INIT_STARTUP, "created"),))


def decide(scenario: Scenario, message: Input) -> Decision:
    """The answer of the scenario's state to the message. An event of an older attempt changes nothing."""
    if isinstance(message, RunEvent):
        if message.attempt != scenario.attempt:
            return Decision(scenario)
        scenario = _note_progress(scenario, message.next_frame)
    match message, scenario.state:
        case StartScenario(), State.INACTIVE:
            return _wait_again(
                scenario, "start was asked for", outcome=None, error=None, failures=0, delay=0.0
            )
        case StartScenario(), State.INIT_SHUTDOWN | State.IN_SHUTDOWN_PROCESSING:
            return _refuse(scenario, "It is still stopping: wait until its state is inactive, then start it.")
        case StopScenario(), State.INIT_STARTUP:
            return _stop_waiting(scenario)
        case StopScenario(), State.IN_STARTUP_PROCESSING | State.ACTIVE:
            return _move(scenario, State.INIT_SHUTDOWN, "stop was asked for")
        case DeleteScenario(), State.INACTIVE:
            return _delete(scenario)
        case DeleteScenario(), _:
            return _refuse(scenario, "It is not inactive: stop it, wait until it is, then delete it.")

        case AssignRun(), State.INIT_STARTUP:
            return _assign(scenario, message)
        case TellRunner(), State.INIT_SHUTDOWN:
            return _tell(scenario)
        case LoseRun(reason), State.IN_STARTUP_PROCESSING | State.ACTIVE:
            return _retry(scenario, reason, message.suspects, message.reserved)
        case LoseRun(reason), State.INIT_SHUTDOWN | State.IN_SHUTDOWN_PROCESSING:
            return _stopped(scenario, reason)

        case RunStarted(media=media), State.IN_STARTUP_PROCESSING:
            return _move(scenario, State.ACTIVE, "first frame decoded", media=media, error=None)
        case RunStarted(media=media), State.ACTIVE | State.INIT_SHUTDOWN | State.IN_SHUTDOWN_PROCESSING:
            return Decision(replace(scenario, media=media))
        case RunFailed(error=error, retryable=True), State.IN_STARTUP_PROCESSING | State.ACTIVE:
            return _retry(scenario, error)
        case RunFailed(error=error), State.IN_STARTUP_PROCESSING | State.ACTIVE:
            return _end(scenario, "failed", error, error)
        case RunFailed(error=error), State.INIT_SHUTDOWN | State.IN_SHUTDOWN_PROCESSING:
            return _end(scenario, "failed", error, error)
        case ((RunReleased() | RunStopped()), State.IN_STARTUP_PROCESSING | State.ACTIVE):
            return _wait_again(scenario, "the runner gave the run back", delay=0.0)
        case ((RunReleased() | RunStopped()), State.INIT_SHUTDOWN | State.IN_SHUTDOWN_PROCESSING):
            return _stopped(scenario, "the run ended")
        case RunFinished(scenario_id, attempt, next_frame, media), _ if media is not None:
            started = decide(scenario, RunStarted(scenario_id, attempt, next_frame, media=media))
            ended = decide(started.scenario, RunFinished(scenario_id, attempt, next_frame))
            return replace(ended, steps=started.steps + ended.steps)
        case RunFinished(), State.INIT_STARTUP:
            return Decision(scenario)
        case RunFinished(), _ if scenario.outcome != "completed":
            # Also where the lease had ended before the finish was heard: it is a fact all the same.
            return _end(scenario, "completed", "stored to the end of the recording")
        case _:
            return Decision(scenario)


def backoff(failures: int) -> float:
    """Seconds to wait before the next attempt: none after the first failure, then 1, 2, 4 … MAX_BACKOFF."""
    return 0.0 if failures < 2 else min(MAX_BACKOFF, 2.0 ** (failures - 2))


def is_suspect(scenario: Scenario) -> bool:
    """Whether a scenario may be why runs were lost. Once is bad luck."""
    return scenario.failures >= 2


def has_one_chance(scenario: Scenario) -> bool:
    """Whether one more attempt that stores nothing would be the last."""
    restart = scenario.spec.restart
    return restart.policy == "on_failure" and 0 < scenario.failures == restart.max_restarts


def _note_progress(scenario: Scenario, next_frame: int) -> Scenario:
    if next_frame <= scenario.next_frame:
        return scenario
    return replace(scenario, next_frame=next_frame, progressed=True)


def _move(scenario: Scenario, to: State, reason: str, **changes: object) -> Decision:
    return Decision(replace(scenario, state=to, **changes), (Step(scenario.state, to, reason),))


def _end(scenario: Scenario, outcome: Outcome, reason: str, error: str | None = None) -> Decision:
    nobody = {"holder": None, "delay": 0.0}
    return _move(scenario, State.INACTIVE, reason, outcome=outcome, error=error, **nobody)


def _stopped(scenario: Scenario, reason: str) -> Decision:
    return _end(scenario, "stopped", reason)


def _wait_again(scenario: Scenario, reason: str, **changes: object) -> Decision:
    anew = {"attempt": scenario.attempt + 1, "holder": None, "progressed": False}
    return _move(scenario, State.INIT_STARTUP, reason, **anew, **changes)


def _stop_waiting(scenario: Scenario) -> Decision:
    asked = _move(scenario, State.INIT_SHUTDOWN, "stop was asked for")
    ended = _stopped(asked.scenario, "no runner had been chosen")
    return replace(ended, steps=asked.steps + ended.steps)


def _refuse(scenario: Scenario, detail: str) -> Decision:
    return Decision(scenario, answer="conflict", detail=detail)


def _delete(scenario: Scenario) -> Decision:
    step = Step(State.INACTIVE, State.INACTIVE, "deleted")
    return Decision(replace(scenario, deleted=True), (step,), ((results_commands, DropResults(scenario.id)),))


def _assign(scenario: Scenario, chosen: AssignRun) -> Decision:
    decision = _move(
        scenario,
        State.IN_STARTUP_PROCESSING,
        f"handed to {chosen.instance.runner_id}",
        holder=chosen.instance,
        delay=0.0,
    )
    start = StartRun(chosen.instance, scenario.id, scenario.attempt, scenario.spec)
    return replace(decision, send=((runner_commands, start),))


def _tell(scenario: Scenario) -> Decision:
    assert scenario.holder is not None  # noqa: S101 - every stopping state has one, as a CHECK holds too
    decision = _move(scenario, State.IN_SHUTDOWN_PROCESSING, f"told {scenario.holder.runner_id} to stop")
    stop = StopRun(scenario.holder, scenario.id, scenario.attempt)
    return replace(decision, send=((runner_commands, stop),))


def _retry(scenario: Scenario, error: str, suspects: int = 0, reserved: float = 0.0) -> Decision:
    failures = 0 if scenario.progressed else scenario.failures + 1
    counted = replace(scenario, failures=failures)
    restart = scenario.spec.restart
    if restart.policy == "never":
        return _end(counted, "failed", error, error)
    if restart.policy == "on_failure" and failures > restart.max_restarts:
        spent = f"{error} (given up after {failures} attempts in a row that stored nothing new)"
        return _end(counted, "failed", spent, spent)
    apart = min(MAX_BACKOFF, APART * suspects) if is_suspect(counted) else 0.0
    return _wait_again(counted, error, error=error, delay=max(backoff(failures) + apart, reserved))

"""A scenario's life, as a pure function: (scenario, message) → what is true next and what must be sent.

Nothing here waits, reads a clock or knows a database. Every state has an answer to every message: see TABLE.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from app.messages import (
    DeleteScenario,
    DropResults,
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
from app.scenario import Media, ScenarioSpec


class State(StrEnum):
    """Where a scenario is. Commands lead into an `init_` state, the leader out of it."""

    INIT_STARTUP = "init_startup"
    IN_STARTUP_PROCESSING = "in_startup_processing"
    ACTIVE = "active"
    INIT_SHUTDOWN = "init_shutdown"
    IN_SHUTDOWN_PROCESSING = "in_shutdown_processing"
    INACTIVE = "inactive"


MEANING = {
    State.INIT_STARTUP: "Accepted; waiting for a free runner.",
    State.IN_STARTUP_PROCESSING: "A runner was chosen and is opening the source.",
    State.ACTIVE: "Frames are being decoded, analysed and stored.",
    State.INIT_SHUTDOWN: "A stop was asked for; the runner is still to be told.",
    State.IN_SHUTDOWN_PROCESSING: "The runner was told to stop and stores what it has in hand.",
    State.INACTIVE: "Nothing runs; the outcome says why.",
}

Outcome = Literal["completed", "stopped", "failed"]
MAX_BACKOFF = 30.0


class Scenario(Struct, frozen=True):
    """One scenario as the orchestrator knows it.

    `attempt` grows on every entry into init_startup and fences off older runs. `failures` counts
    consecutive attempts that stored nothing new; `progressed` says whether this one stored anything.
    `delay` is how many seconds from now the next hand-out may come.
    """

    id: UUID
    spec: ScenarioSpec
    state: State = State.INIT_STARTUP
    outcome: Outcome | None = None
    error: str | None = None
    attempt: int = 1
    runner_id: str | None = None
    boot_id: UUID | None = None
    failures: int = 0
    next_frame: int = 0
    progressed: bool = False
    media: Media | None = None
    delay: float = 0.0
    deleted: bool = False


class AssignRun(Struct, frozen=True):
    """The leader chose a runner instance with a free slot."""

    runner_id: str
    boot_id: UUID


class TellRunner(Struct, frozen=True):
    """The leader passes a stop on to the runner."""


class LoseRun(Struct, frozen=True):
    """The leader saw the lease end: nobody holds the run any more."""

    reason: str


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
    return TABLE[type(message)][_COLUMN[scenario.state]](scenario, message)


def backoff(failures: int) -> float:
    """Seconds to wait before the next attempt: none after the first failure, then 1, 2, 4 … MAX_BACKOFF."""
    return 0.0 if failures < 2 else min(MAX_BACKOFF, 2.0 ** (failures - 2))


def _note_progress(scenario: Scenario, next_frame: int) -> Scenario:
    if next_frame <= scenario.next_frame:
        return scenario
    return replace(scenario, next_frame=next_frame, progressed=True)


def _move(scenario: Scenario, to: State, reason: str, **changes: object) -> Decision:
    after = replace(scenario, state=to, **changes)
    return Decision(after, (Step(scenario.state, to, reason),))


def _end(scenario: Scenario, outcome: Outcome, reason: str, error: str | None = None) -> Decision:
    return _move(
        scenario, State.INACTIVE, reason, outcome=outcome, error=error, runner_id=None, boot_id=None, delay=0.0
    )


def _wait_again(scenario: Scenario, reason: str, **changes: object) -> Decision:
    return _move(
        scenario,
        State.INIT_STARTUP,
        reason,
        attempt=scenario.attempt + 1,
        runner_id=None,
        boot_id=None,
        progressed=False,
        **changes,
    )


def _ignore(scenario: Scenario, message: Input) -> Decision:
    return Decision(scenario)


def _already_started(scenario: Scenario, message: Input) -> Decision:
    return Decision(scenario, detail="It was started already.")


def _refuse_start(scenario: Scenario, message: Input) -> Decision:
    detail = "It is still stopping: wait until its state is inactive, then start it."
    return Decision(scenario, answer="conflict", detail=detail)


def _resume(scenario: Scenario, message: Input) -> Decision:
    return _wait_again(scenario, "start was asked for", outcome=None, error=None, failures=0, delay=0.0)


def _stop_waiting(scenario: Scenario, message: Input) -> Decision:
    asked = _move(scenario, State.INIT_SHUTDOWN, "stop was asked for")
    ended = _end(asked.scenario, "stopped", "no runner had been chosen")
    return replace(ended, steps=asked.steps + ended.steps)


def _ask_to_stop(scenario: Scenario, message: Input) -> Decision:
    return _move(scenario, State.INIT_SHUTDOWN, "stop was asked for")


def _already_stopped(scenario: Scenario, message: Input) -> Decision:
    return Decision(scenario, detail="It was stopped already.")


def _refuse_delete(scenario: Scenario, message: Input) -> Decision:
    detail = "It is not inactive: stop it and wait until its state is inactive, then delete it."
    return Decision(scenario, answer="conflict", detail=detail)


def _delete(scenario: Scenario, message: Input) -> Decision:
    step = Step(State.INACTIVE, State.INACTIVE, "deleted")
    drop = (results_commands, DropResults(scenario.id))
    return Decision(replace(scenario, deleted=True), (step,), (drop,))


def _assign(scenario: Scenario, message: Input) -> Decision:
    assert isinstance(message, AssignRun)
    decision = _move(
        scenario,
        State.IN_STARTUP_PROCESSING,
        f"handed to {message.runner_id}",
        runner_id=message.runner_id,
        boot_id=message.boot_id,
        delay=0.0,
    )
    start = StartRun(message.runner_id, message.boot_id, scenario.id, scenario.attempt, scenario.spec)
    return replace(decision, send=((runner_commands, start),))


def _tell(scenario: Scenario, message: Input) -> Decision:
    assert scenario.runner_id is not None
    assert scenario.boot_id is not None
    decision = _move(scenario, State.IN_SHUTDOWN_PROCESSING, f"told {scenario.runner_id} to stop")
    stop = StopRun(scenario.runner_id, scenario.boot_id, scenario.id, scenario.attempt)
    return replace(decision, send=((runner_commands, stop),))


def _activate(scenario: Scenario, message: Input) -> Decision:
    assert isinstance(message, RunStarted)
    return _move(scenario, State.ACTIVE, "first frame decoded", media=message.media, error=None)


def _note_media(scenario: Scenario, message: Input) -> Decision:
    assert isinstance(message, RunStarted)
    return Decision(replace(scenario, media=message.media))


def _complete(scenario: Scenario, message: Input) -> Decision:
    if scenario.outcome == "completed":
        return Decision(scenario)
    return _end(scenario, "completed", "stored to the end of the recording")


def _retry(scenario: Scenario, error: str, retryable: bool) -> Decision:
    failures = 0 if scenario.progressed else scenario.failures + 1
    counted = replace(scenario, failures=failures)
    restart = scenario.spec.restart
    if not retryable or restart.policy == "never":
        return _end(counted, "failed", error, error)
    if restart.policy == "on_failure" and failures > restart.max_restarts:
        spent = f"{error} (given up after {failures} attempts in a row that stored nothing new)"
        return _end(counted, "failed", spent, spent)
    return _wait_again(counted, error, error=error, delay=backoff(failures))


def _fail(scenario: Scenario, message: Input) -> Decision:
    assert isinstance(message, RunFailed)
    return _retry(scenario, message.error, message.retryable)


def _fail_stopping(scenario: Scenario, message: Input) -> Decision:
    assert isinstance(message, RunFailed)
    return _end(scenario, "failed", message.error, message.error)


def _lose(scenario: Scenario, message: Input) -> Decision:
    assert isinstance(message, LoseRun)
    return _retry(scenario, message.reason, retryable=True)


def _release(scenario: Scenario, message: Input) -> Decision:
    return _wait_again(scenario, "the runner gave the run back", delay=0.0)


def _stopped(scenario: Scenario, message: Input) -> Decision:
    reason = message.reason if isinstance(message, LoseRun) else "the run ended"
    return _end(scenario, "stopped", reason)


Answer = Callable[[Scenario, Input], Decision]

_COLUMN = {state: column for column, state in enumerate(State)}

# In init_startup and inactive nobody holds the current attempt, so a run's event there is a duplicate; but
# a finish is a fact even where the lease had ended before it was heard.
# fmt: off
TABLE: dict[type, tuple[Answer, ...]] = {
    #                init_startup      in_startup_processing active          init_shutdown     in_shutdown_processing inactive  # noqa: E501
    StartScenario:  (_already_started, _already_started,  _already_started,  _refuse_start,    _refuse_start,    _resume),
    StopScenario:   (_stop_waiting,    _ask_to_stop,      _ask_to_stop,      _already_stopped, _already_stopped, _already_stopped),
    DeleteScenario: (_refuse_delete,   _refuse_delete,    _refuse_delete,    _refuse_delete,   _refuse_delete,   _delete),
    AssignRun:      (_assign,          _ignore,           _ignore,           _ignore,          _ignore,          _ignore),
    TellRunner:     (_ignore,          _ignore,           _ignore,           _tell,            _ignore,          _ignore),
    LoseRun:        (_ignore,          _lose,             _lose,             _stopped,         _stopped,         _ignore),
    RunStarted:     (_ignore,          _activate,         _note_media,       _note_media,      _note_media,      _ignore),
    RunFinished:    (_ignore,          _complete,         _complete,         _complete,        _complete,        _complete),
    RunFailed:      (_ignore,          _fail,             _fail,             _fail_stopping,   _fail_stopping,   _ignore),
    RunStopped:     (_ignore,          _release,          _release,          _stopped,         _stopped,         _ignore),
    RunReleased:    (_ignore,          _release,          _release,          _stopped,         _stopped,         _ignore),
}
# fmt: on

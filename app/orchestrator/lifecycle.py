"""The lifecycle of a scenario as a pure function: (scenario, message) → next state and what to send.

It does no I/O and reads no clock. `decide` is the table, and a message that it does not name for a state
changes nothing. The rules, a sentence per state:

- init_startup: waits for a free slot; the dispatcher assigns a runner, and a stop makes it inactive at once.
- in_startup_processing: a runner opens the source; the first frame makes it active, a lost or failed run
  starts again or fails for good, and a stop is passed on.
- active: frames are stored; the run finishes, fails, is lost or is stopped.
- init_shutdown: a stop was requested and the dispatcher must tell the runner; whatever ends the run ends the
  scenario.
- in_shutdown_processing: the runner was told and drains; whatever ends the run ends the scenario.
- inactive: nothing runs; a start resumes after the last stored frame, a delete is final, and a finish that
  was heard late still makes the outcome completed.
"""

from collections.abc import Collection
from uuid import UUID

from msgspec import Raw, Struct
from msgspec.structs import replace

from ..domain.features import needed_features
from ..domain.media import Media
from ..domain.spec import RestartPolicy
from ..domain.states import Outcome, State
from ..domain.stored_spec import summarize_spec
from ..messages import (
    DeleteScenario,
    DropResults,
    Instance,
    LifecycleCommand,
    Message,
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
from ..scenarios.command_answer import CommandAnswer

MAX_BACKOFF = 30.0
"""Seconds of backoff between two attempts, at most."""
QUARANTINE_SPACING = 2.0
"""Seconds between the next attempts of quarantined scenarios that were lost together. If one of them brings
its runner down, the others have that long to store something."""
LAST_ATTEMPT_ISOLATION = 10.0
"""Seconds for which a last attempt runs without the runs that were lost together with it. Enough to load a
model, open a source and store something."""


class ScenarioRecord(Struct, frozen=True):
    """One scenario as the orchestrator stores it.

    `attempt` grows on every entry into init_startup and fences off older runs. `failures` counts
    consecutive attempts that stored nothing new; `progressed` says whether this attempt stored anything.
    `holder` is the runner instance that has the run. `delay` is the number of seconds from now until the
    scenario may be dispatched. `spec` is JSON that may be of a newer version and is passed on as it is. A
    runner must have the features `needs`.
    """

    id: UUID
    spec: Raw
    restart: RestartPolicy = RestartPolicy()
    needs: frozenset[str] = frozenset()
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
    is_deleted: bool = False


class AssignRun(Struct, frozen=True):
    """The dispatcher chose a runner instance with a free slot."""

    instance: Instance


class TellRunner(Struct, frozen=True):
    """The dispatcher passes a stop on to the runner."""


class LoseRun(Struct, frozen=True):
    """The rescuer saw the lease end: no runner holds the run any more.

    `quarantined`: how many quarantined scenarios were lost together with it, before it. `isolation`: seconds
    from now for which one of the scenarios that were lost with it must run alone.
    """

    reason: str
    quarantined: int = 0
    isolation: float = 0.0


Input = LifecycleCommand | RunEvent | AssignRun | TellRunner | LoseRun


class Transition(Struct, frozen=True):
    """A change of state, for the history."""

    before: State | None
    after: State
    reason: str


class Decision(Struct, frozen=True):
    """The scenario as it is next, the steps that led there, what to send, and the answer to a command."""

    scenario: ScenarioRecord
    steps: tuple[Transition, ...] = ()
    send: tuple[tuple[Topic, Message], ...] = ()
    answer: CommandAnswer = "done"
    detail: str = ""


def create(scenario_id: UUID, spec: Raw, needs: Collection[str] = ()) -> Decision:
    """Return a new scenario, waiting for a runner that has what the spec needs, and these features too.

    Raises msgspec.ValidationError if the spec is not one.
    """
    summary = summarize_spec(spec)
    scenario = ScenarioRecord(scenario_id, spec, summary.restart, needed_features(summary) | frozenset(needs))
    return Decision(scenario, (Transition(None, State.INIT_STARTUP, "created"),))


def decide(scenario: ScenarioRecord, message: Input) -> Decision:
    """Return what the message changes. An event of another attempt changes nothing."""
    if isinstance(message, RunEvent):
        if message.attempt != scenario.attempt:
            return Decision(scenario)
        scenario = _note_progress(scenario, message.next_frame)
    match message, scenario.state:
        case StartScenario(), State.INACTIVE:
            return _wait_again(scenario, "start requested", outcome=None, error=None, failures=0, delay=0.0)
        case StartScenario(), State.INIT_SHUTDOWN | State.IN_SHUTDOWN_PROCESSING:
            return _refuse(scenario, "It is still stopping: wait until its state is inactive, then start it.")
        case StopScenario(), State.INIT_STARTUP:
            return _stop_waiting(scenario)
        case StopScenario(), State.IN_STARTUP_PROCESSING | State.ACTIVE:
            return _move(scenario, State.INIT_SHUTDOWN, "stop requested")
        case DeleteScenario(), State.INACTIVE:
            return _delete(scenario)
        case DeleteScenario(), _:
            return _refuse(scenario, "It is not inactive: stop it, wait until it is, then delete it.")

        case AssignRun(), State.INIT_STARTUP:
            return _assign(scenario, message)
        case TellRunner(), State.INIT_SHUTDOWN:
            return _tell(scenario)
        case LoseRun(reason), State.IN_STARTUP_PROCESSING | State.ACTIVE:
            return _retry(scenario, reason, message.quarantined, message.isolation)
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
            # Even if the lease ended before: a recording that is stored to its end is complete.
            return _end(scenario, "completed", "stored to the end of the recording")
        case _:
            return Decision(scenario)


def backoff(failures: int) -> float:
    """Return the seconds before the next attempt: 0 after the first failure, then 1, 2, 4 … MAX_BACKOFF."""
    return 0.0 if failures < 2 else min(MAX_BACKOFF, 2.0 ** (failures - 2))


def is_quarantined(scenario: ScenarioRecord) -> bool:
    """Return whether the scenario may be why runs are lost: its last two attempts stored nothing."""
    return scenario.failures >= 2


def has_one_attempt_left(scenario: ScenarioRecord) -> bool:
    """Return whether the scenario fails for good if its next attempt stores nothing."""
    restart = scenario.restart
    return restart.policy == "on_failure" and 0 < scenario.failures == restart.max_restarts


def _note_progress(scenario: ScenarioRecord, next_frame: int) -> ScenarioRecord:
    if next_frame <= scenario.next_frame:
        return scenario
    return replace(scenario, next_frame=next_frame, progressed=True)


def _move(scenario: ScenarioRecord, to: State, reason: str, **changes: object) -> Decision:
    return Decision(replace(scenario, state=to, **changes), (Transition(scenario.state, to, reason),))


def _end(scenario: ScenarioRecord, outcome: Outcome, reason: str, error: str | None = None) -> Decision:
    return _move(scenario, State.INACTIVE, reason, outcome=outcome, error=error, holder=None, delay=0.0)


def _stopped(scenario: ScenarioRecord, reason: str) -> Decision:
    return _end(scenario, "stopped", reason)


def _wait_again(scenario: ScenarioRecord, reason: str, **changes: object) -> Decision:
    reset = {"attempt": scenario.attempt + 1, "holder": None, "progressed": False}
    return _move(scenario, State.INIT_STARTUP, reason, **reset, **changes)


def _stop_waiting(scenario: ScenarioRecord) -> Decision:
    requested = _move(scenario, State.INIT_SHUTDOWN, "stop requested")
    ended = _stopped(requested.scenario, "no runner was assigned yet")
    return replace(ended, steps=requested.steps + ended.steps)


def _refuse(scenario: ScenarioRecord, detail: str) -> Decision:
    return Decision(scenario, answer="conflict", detail=detail)


def _delete(scenario: ScenarioRecord) -> Decision:
    step = Transition(State.INACTIVE, State.INACTIVE, "deleted")
    drop = (results_commands, DropResults(scenario.id))
    return Decision(replace(scenario, is_deleted=True), (step,), (drop,))


def _assign(scenario: ScenarioRecord, chosen: AssignRun) -> Decision:
    decision = _move(
        scenario,
        State.IN_STARTUP_PROCESSING,
        f"dispatched to {chosen.instance.runner_id}",
        holder=chosen.instance,
        delay=0.0,
    )
    start = StartRun(chosen.instance, scenario.id, scenario.attempt, scenario.spec)
    return replace(decision, send=((runner_commands, start),))


def _tell(scenario: ScenarioRecord) -> Decision:
    assert scenario.holder is not None  # noqa: S101 - a CHECK constraint holds it
    decision = _move(scenario, State.IN_SHUTDOWN_PROCESSING, f"told {scenario.holder.runner_id} to stop")
    stop = StopRun(scenario.holder, scenario.id, scenario.attempt)
    return replace(decision, send=((runner_commands, stop),))


def _retry(scenario: ScenarioRecord, error: str, quarantined: int = 0, isolation: float = 0.0) -> Decision:
    failures = 0 if scenario.progressed else scenario.failures + 1
    counted = replace(scenario, failures=failures)
    restart = scenario.restart
    if restart.policy == "never":
        return _end(counted, "failed", error, error)
    if restart.policy == "on_failure" and failures > restart.max_restarts:
        spent = f"{error} (given up after {failures} attempts in a row that stored nothing new)"
        return _end(counted, "failed", spent, spent)
    spacing = min(MAX_BACKOFF, QUARANTINE_SPACING * quarantined) if is_quarantined(counted) else 0.0
    return _wait_again(counted, error, error=error, delay=max(backoff(failures) + spacing, isolation))

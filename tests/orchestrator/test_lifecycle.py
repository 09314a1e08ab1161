"""The whole table of the lifecycle, and the rules behind its entries."""

from uuid import uuid4

import pytest
from msgspec.structs import replace

from app.domain.detector_config import Marker
from app.domain.media import Media
from app.domain.spec import RestartPolicy, ScenarioSpec
from app.domain.states import STATE_DESCRIPTIONS, State
from app.domain.stored_spec import encode_spec
from app.messages import (
    DeleteScenario,
    DropResults,
    Instance,
    RunFailed,
    RunFinished,
    RunReleased,
    RunStarted,
    RunStopped,
    StartRun,
    StartScenario,
    StopRun,
    StopScenario,
    results_commands,
    runner_commands,
)
from app.orchestrator.lifecycle import (
    MAX_BACKOFF,
    AssignRun,
    Input,
    LoseRun,
    ScenarioRecord,
    TellRunner,
    backoff,
    create,
    decide,
    has_one_attempt_left,
)

ID = uuid4()
HOLDER = Instance("runner-1", uuid4())
SPEC = ScenarioSpec("clip.mp4", Marker())
MEDIA = Media(1280, 720, 30.0, 1800, 60.0)

INPUTS: dict[str, Input] = {
    "start": StartScenario(uuid4(), ID),
    "stop": StopScenario(uuid4(), ID),
    "delete": DeleteScenario(uuid4(), ID),
    "assign": AssignRun(HOLDER),
    "tell": TellRunner(),
    "lose": LoseRun("runner-1 was not heard of"),
    "started": RunStarted(ID, 1, 0, media=MEDIA),
    "finished": RunFinished(ID, 1, 1800),
    "over": RunFinished(ID, 1, 1800, MEDIA),
    "failed": RunFailed(ID, 1, 0, error="it broke", retryable=True),
    "hopeless": RunFailed(ID, 1, 0, error="no such file", retryable=False),
    "stopped": RunStopped(ID, 1, 100),
    "released": RunReleased(ID, 1, 100, instance=HOLDER),
}

# The effect of each message on each state: "-" none, "!" refused, else the states that it leads through.
TABLE = """
              start           stop                       delete  assign                 tell                    lose              started finished           over              failed          hopeless        stopped           released
init_startup  -               init_shutdown,stopped      !       in_startup_processing  -                       -                 -       -                  -                 -               -               -                 -
in_startup_processing -       init_shutdown              !       -                      -                       init_startup      active  completed          active,completed  init_startup    failed          init_startup      init_startup
active        -               init_shutdown              !       -                      -                       init_startup      -       completed          completed         init_startup    failed          init_startup      init_startup
init_shutdown !               -                          !       -                      in_shutdown_processing  stopped           -       completed          completed         failed          failed          stopped           stopped
in_shutdown_processing !      -                          !       -                      -                       stopped           -       completed          completed         failed          failed          stopped           stopped
inactive      init_startup    -                          deleted -                      -                       -                 -       completed          completed         -               -               -                 -
"""  # noqa: E501


def entries() -> list[tuple[State, str, str]]:
    header, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [
        (State(state), name, expected)
        for state, *cells in rows
        for name, expected in zip(header, cells, strict=True)
    ]


def in_state(state: State, **changes: object) -> ScenarioRecord:
    running = state not in (State.INIT_STARTUP, State.INACTIVE)
    scenario = ScenarioRecord(
        ID,
        encode_spec(SPEC),
        state=state,
        outcome="stopped" if state is State.INACTIVE else None,
        holder=HOLDER if running else None,
    )
    return replace(scenario, **changes)


def test_the_table_covers_every_state_and_every_message() -> None:
    assert {(state, name) for state, name, _ in entries()} == {
        (state, name) for state in State for name in INPUTS
    }
    assert set(STATE_DESCRIPTIONS) == set(State)


@pytest.mark.parametrize(("state", "name", "expected"), entries())
def test_table(state: State, name: str, expected: str) -> None:
    before = in_state(state)
    decision = decide(before, INPUTS[name])
    after = decision.scenario
    assert (decision.answer == "conflict") == (expected == "!")
    if expected in ("-", "!"):
        assert decision.steps == ()
        assert after.state is state
        assert decision.send == ()
        return
    path = expected.split(",")
    final = path[-1] if path[-1] in list(State) else "inactive"
    assert after.state == final
    assert [step.after for step in decision.steps] == [*path[:-1], final]
    assert decision.steps[0].before is state
    assert (after.outcome is not None) == (after.state is State.INACTIVE)
    assert (after.holder is not None) == (after.state not in (State.INIT_STARTUP, State.INACTIVE))
    assert after.is_deleted == (expected == "deleted")
    if final == "inactive" and expected != "deleted":
        assert after.outcome == path[-1]
    assert after.attempt == before.attempt + (after.state is State.INIT_STARTUP)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", ["started", "finished", "over", "failed", "hopeless", "stopped", "released"])
def test_an_event_of_an_older_attempt_changes_nothing(state: State, name: str) -> None:
    scenario = in_state(state, attempt=2)
    assert decide(scenario, INPUTS[name]).scenario == scenario


@pytest.mark.parametrize(("state", "name", "expected"), entries())
def test_a_message_that_is_handled_twice_has_no_second_effect(state: State, name: str, expected: str) -> None:
    once = decide(in_state(state), INPUTS[name]).scenario
    if once.is_deleted or (state is State.INACTIVE and name == "start"):
        return  # the handler recognises repeated commands by their id
    again = decide(once, INPUTS[name])
    assert again.scenario == once
    assert again.steps == ()


def test_a_new_scenario_waits_for_a_runner() -> None:
    decision = create(ID, encode_spec(SPEC))
    needs = frozenset({"detector:marker"})
    assert decision.scenario == ScenarioRecord(ID, encode_spec(SPEC), SPEC.restart, needs)
    assert (decision.scenario.state, decision.scenario.attempt) == (State.INIT_STARTUP, 1)
    assert [(step.before, step.after) for step in decision.steps] == [(None, State.INIT_STARTUP)]


def test_assigning_tells_the_runner_what_to_run() -> None:
    decision = decide(in_state(State.INIT_STARTUP, attempt=3), AssignRun(HOLDER))
    assert decision.send == ((runner_commands, StartRun(HOLDER, ID, 3, encode_spec(SPEC))),)


def test_a_stop_is_passed_on_to_the_instance_that_holds_the_run() -> None:
    decision = decide(in_state(State.INIT_SHUTDOWN, attempt=3), TellRunner())
    assert decision.send == ((runner_commands, StopRun(HOLDER, ID, 3)),)


def test_deleting_removes_the_results() -> None:
    decision = decide(in_state(State.INACTIVE), INPUTS["delete"])
    assert decision.send == ((results_commands, DropResults(ID)),)


def test_activating_stores_the_media_and_clears_the_last_error() -> None:
    decision = decide(in_state(State.IN_STARTUP_PROCESSING, error="it broke"), INPUTS["started"])
    assert decision.scenario.media == MEDIA
    assert decision.scenario.error is None


def attempts_until_failed(spec: ScenarioSpec, message: Input, progress: dict[int, int] | None = None) -> int:
    """Return how many attempts there are if each ends with `message`.

    `progress` maps an attempt to the frame that it reaches first.
    """
    scenario = create(ID, encode_spec(spec)).scenario
    while scenario.attempt < 50:
        scenario = decide(scenario, AssignRun(HOLDER)).scenario
        frame = (progress or {}).get(scenario.attempt, 0)
        started = RunStarted(ID, scenario.attempt, frame, media=MEDIA)
        scenario = decide(scenario, started).scenario
        ending = replace(message, attempt=scenario.attempt) if isinstance(message, RunFailed) else message
        scenario = decide(scenario, ending).scenario
        if scenario.state is State.INACTIVE:
            assert scenario.outcome == "failed"
            assert scenario.error is not None
            break
    return scenario.attempt


@pytest.mark.parametrize("message", [INPUTS["failed"], INPUTS["lose"]])
def test_max_restarts_bounds_attempts_that_store_nothing_new(message: Input) -> None:
    spec = replace(SPEC, restart=RestartPolicy("on_failure", max_restarts=5))
    assert attempts_until_failed(spec, message) == 6


def test_progress_resets_the_count_of_restarts() -> None:
    spec = replace(SPEC, restart=RestartPolicy("on_failure", max_restarts=2))
    assert attempts_until_failed(spec, INPUTS["lose"], {3: 100, 5: 200}) == 8


def test_never_makes_one_attempt_and_always_gives_no_attempt_up() -> None:
    assert attempts_until_failed(replace(SPEC, restart=RestartPolicy("never")), INPUTS["lose"]) == 1
    assert attempts_until_failed(replace(SPEC, restart=RestartPolicy("always")), INPUTS["failed"]) == 50


def test_a_release_does_not_count_as_a_restart() -> None:
    scenario = in_state(State.ACTIVE, failures=5)
    after = decide(scenario, RunReleased(ID, 1, 0, instance=HOLDER)).scenario
    assert (after.failures, after.delay) == (5, 0.0)


def test_the_backoff_between_attempts_is_bounded() -> None:
    assert [backoff(failures) for failures in range(8)] == [0, 0, 1, 2, 4, 8, 16, MAX_BACKOFF]


def test_quarantined_scenarios_that_are_lost_together_start_one_after_the_other() -> None:
    """One of them may bring its process down, and the others must not be lost with it every time."""

    def delays(failures: int, *, progressed: bool) -> list[float]:
        scenario = in_state(State.ACTIVE, failures=failures, progressed=progressed)
        return [decide(scenario, LoseRun("lost", others)).scenario.delay for others in (0, 1, 2, 1000)]

    assert delays(0, progressed=False) == [0, 0, 0, 0]
    assert delays(1, progressed=False) == [1, 3, 5, 31]
    assert delays(4, progressed=True) == [0, 0, 0, 0]


def test_runs_lost_together_with_a_last_attempt_wait_while_it_runs_alone() -> None:
    def after(failures: int, *, progressed: bool = False) -> ScenarioRecord:
        scenario = in_state(State.ACTIVE, failures=failures, progressed=progressed)
        return decide(scenario, LoseRun("lost", isolation=11.0)).scenario

    limit = SPEC.restart.max_restarts
    assert [has_one_attempt_left(after(failures)) for failures in (limit - 2, limit - 1)] == [False, True]
    assert not has_one_attempt_left(after(limit - 1, progressed=True))
    assert after(0, progressed=True).delay == 11.0


def test_a_new_start_resets_the_restarts_and_the_outcome() -> None:
    failed = in_state(State.INACTIVE, outcome="failed", error="it broke", failures=6, next_frame=77)
    after = decide(failed, INPUTS["start"]).scenario
    assert (after.outcome, after.error, after.failures, after.delay) == (None, None, 0, 0.0)
    assert after.next_frame == 77


def test_a_finish_wins_over_a_stop_and_over_a_lease_that_ended() -> None:
    lost = in_state(State.INACTIVE, outcome="stopped")
    assert decide(lost, INPUTS["finished"]).scenario.outcome == "completed"

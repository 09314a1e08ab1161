"""What holds in every state that messages can lead to, in whatever order and however often they come."""

import random
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.messages import (
    DeleteScenario,
    DropResults,
    Instance,
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
)
from app.orchestrator import store
from app.orchestrator.lifecycle import (
    MAX_BACKOFF,
    AssignRun,
    Decision,
    Input,
    LoseRun,
    Scenario,
    State,
    TellRunner,
    create,
    decide,
)
from app.orchestrator.service import apply
from app.postgres import Database
from app.scenario import Marker, Media, Restart, ScenarioSpec

ID = UUID(int=1)
INSTANCES = [Instance("runner-1", UUID(int=2)), Instance("runner-2", UUID(int=3))]
MEDIA = Media(640, 360)
HELD = {State.IN_STARTUP_PROCESSING, State.ACTIVE, State.INIT_SHUTDOWN, State.IN_SHUTDOWN_PROCESSING}

Asked = tuple[str, int, int]  # what, how many attempts ago, how many frames further

MESSAGES = [
    "start", "stop", "delete", "assign", "tell", "lose",
    "started", "stopped", "finished", "failed", "hopeless", "released",
]  # fmt: skip
asked = st.tuples(st.sampled_from(MESSAGES), st.sampled_from([0, 0, 0, 1, -1]), st.integers(-5, 5))
restarts = st.builds(Restart, st.sampled_from(["never", "on_failure", "always"]), st.integers(0, 3))


def message_for(scenario: Scenario, asking: Asked) -> Input:
    name, older, further = asking
    attempt, frame = scenario.attempt - older, max(0, scenario.next_frame + further)
    match name:
        case "start":
            return StartScenario(uuid4(), scenario.id)
        case "stop":
            return StopScenario(uuid4(), scenario.id)
        case "delete":
            return DeleteScenario(uuid4(), scenario.id)
        case "assign":
            return AssignRun(INSTANCES[further % 2])
        case "tell":
            return TellRunner()
        case "lose":
            return LoseRun("nothing was heard of it")
        case "started":
            return RunStarted(scenario.id, attempt, frame, media=MEDIA)
        case "stopped":
            return RunStopped(scenario.id, attempt, frame)
        case "finished":
            return RunFinished(scenario.id, attempt, frame)
        case "failed":
            return RunFailed(scenario.id, attempt, frame, error="it broke", retryable=True)
        case "hopeless":
            return RunFailed(scenario.id, attempt, frame, error="no such file", retryable=False)
        case _:
            return RunReleased(scenario.id, attempt, frame, instance=INSTANCES[0])


def assert_sound(scenario: Scenario) -> None:
    """What the table's CHECK constraints hold, and what they cannot say."""
    assert (scenario.state is State.INACTIVE) == (scenario.outcome is not None)
    assert (scenario.outcome != "failed") or scenario.error
    assert (scenario.state in HELD) == (scenario.holder is not None)
    assert scenario.attempt >= 1
    assert scenario.failures >= 0
    assert not scenario.deleted or scenario.state is State.INACTIVE
    assert 0 <= scenario.delay <= MAX_BACKOFF
    if scenario.spec.restart.policy == "on_failure":
        assert scenario.failures <= scenario.spec.restart.max_restarts + 1


def assert_follows(before: Scenario, message: Input, decision: Decision) -> None:
    """How one decision may change a scenario."""
    after, steps = decision.scenario, decision.steps
    states = [before.state, *(step.after for step in steps)]
    assert [step.before for step in steps] == states[:-1]
    assert states[-1] is after.state
    assert all(step.reason for step in steps)
    assert after.attempt == before.attempt + (bool(steps) and after.state is State.INIT_STARTUP)
    assert after.next_frame >= before.next_frame
    assert (after.id, after.spec) == (before.id, before.spec)
    sent = [kind for _, kind in decision.send]
    handed = (State.INIT_STARTUP, State.IN_STARTUP_PROCESSING) in pairwise(states)
    told = (State.INIT_SHUTDOWN, State.IN_SHUTDOWN_PROCESSING) in pairwise(states)
    deleted = after.deleted and not before.deleted
    assert [type(each) for each in sent] == [StartRun] * handed + [StopRun] * told + [DropResults] * deleted
    for each in sent:
        if isinstance(each, StartRun | StopRun):
            assert (each.instance, each.attempt) == (after.holder, after.attempt)
    if decision.answer == "conflict":
        assert after == before
        assert decision.detail
    if isinstance(message, RunEvent) and message.attempt != before.attempt:
        assert decision == Decision(before)
    elif isinstance(message, RunEvent) and before.state in HELD:
        assert_heard(before, message, after)


def assert_heard(before: Scenario, message: RunEvent, after: Scenario) -> None:
    """Nothing that the run of the current attempt says is lost on its scenario."""
    assert after.next_frame == max(before.next_frame, message.next_frame)
    if isinstance(message, RunStarted):
        assert after.media == message.media
    else:
        assert after.holder is None
    if isinstance(message, RunFinished):
        assert after.outcome == "completed"


def walk(scenario: Scenario, askings: Sequence[Asked]) -> None:
    for asking in askings:
        message = message_for(scenario, asking)
        decision = decide(scenario, message)
        assert_follows(scenario, message, decision)
        assert_sound(decision.scenario)
        if decision.scenario.deleted:
            return
        scenario = decision.scenario


@settings(max_examples=400)
@given(restart=restarts, askings=st.lists(asked, max_size=40))
def test_every_reachable_scenario_is_sound_and_every_decision_is_explained(
    restart: Restart, askings: list[Asked]
) -> None:
    walk(create(ID, ScenarioSpec("clip.mp4", Marker(), restart=restart)).scenario, askings)


async def test_what_is_stored_is_what_was_decided(scenarios: Database) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(25):
        restart = Restart(chance.choice(["never", "on_failure", "always"]), chance.randrange(3))
        created = create(uuid4(), ScenarioSpec("clip.mp4", Marker(), restart=restart))
        expected = created.scenario
        async with scenarios.transaction() as connection:
            assert await store.insert(connection, created)
        for _ in range(25):
            older, further = chance.choice([0, 0, 0, 1, -1]), chance.randint(-5, 5)
            message = message_for(expected, (chance.choice(MESSAGES), older, further))
            async with scenarios.transaction() as connection:
                decision = await apply(connection, expected.id, message)
                stored = await store.lock(connection, expected.id)
            if expected.deleted:
                assert decision is None
            else:
                assert decision == decide(expected, message)
                expected = replace(decision.scenario, delay=0.0)
            assert stored == expected

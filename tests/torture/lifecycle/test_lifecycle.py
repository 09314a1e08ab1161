"""Row 3: whatever comes, in whatever order and however often, no scenario leaves its lifecycle."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from app.messages import RunEvent
from app.orchestrator import decisions, store
from app.orchestrator.dispatcher import Dispatcher
from app.orchestrator.lifecycle import Decision, Input, ScenarioRecord, decide
from app.postgres import Connection
from tests.support.databases import Databases
from tests.torture.battery import Battery, size
from tests.torture.lifecycle import slots_first
from tests.torture.lifecycle.example_database import ExampleDatabase, example_database
from tests.torture.lifecycle.machine import Orchestration

INTERLEAVINGS = size(200, 10_000)
UNGUARDED = size(40, 1_000)

Patch = pytest.MonkeyPatch


def play(examples: ExampleDatabase, interleavings: int, **how: Any) -> None:
    """Let Hypothesis think of interleavings. One that fails is not made shorter: that would take hours."""
    options = settings(
        max_examples=interleavings,
        stateful_step_count=20,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        **how,
    )
    factory: Any = partial(Orchestration, examples)
    run_state_machine_as_test(factory, settings=options)


@pytest.mark.timeout(size(300, 3600))
def test_no_interleaving_of_messages_leads_out_of_the_lifecycle(server: Databases, battery: Battery) -> None:
    with example_database(server) as examples:
        play(examples, INTERLEAVINGS)
    assert examples.verdict.illegal == []
    assert examples.interleavings >= INTERLEAVINGS
    assert examples.verdict.transitions > 5 * INTERLEAVINGS
    battery.passed(
        3,
        "messages in any order, late, twice and two at once; store, pure lifecycle and a model agree",
        f"{examples.interleavings:,} interleavings of {examples.steps:,} messages and decisions",
        f"{len(examples.verdict.illegal)} of {examples.verdict.transitions:,} transitions illegal",
    )


def without_fencing_off_older_attempts(patch: Patch) -> None:
    def trusting(scenario: ScenarioRecord, message: Input) -> Decision:
        if isinstance(message, RunEvent):
            message = replace(message, attempt=scenario.attempt)
        return decide(scenario, message)

    patch.setattr(decisions, "decide", trusting)


def without_remembering_commands(patch: Patch) -> None:
    async def forgetful(connection: Connection, command_id: UUID) -> bool:
        return False

    patch.setattr(store, "was_handled", forgetful)


class Unlocked:
    """A connection on which nothing is locked."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetchrow(self, query: str, *values: object) -> Any:
        return await self._connection.fetchrow(query.replace("FOR UPDATE", ""), *values)


def without_locking_the_scenario(patch: Patch) -> None:
    lock = store.lock

    async def unlocked(connection: Any, scenario_id: UUID) -> ScenarioRecord | None:
        return await lock(Unlocked(connection), scenario_id)  # type: ignore[arg-type]

    patch.setattr(store, "lock", unlocked)


def without_dispatching_in_order(patch: Patch) -> None:
    patch.setattr(Dispatcher, "dispatch", slots_first.dispatch)


@pytest.mark.parametrize(
    "without",
    [
        without_fencing_off_older_attempts,
        without_remembering_commands,
        without_locking_the_scenario,
        without_dispatching_in_order,
    ],
)
@pytest.mark.timeout(size(300, 3600))
def test_the_verifier_sees_what_a_missing_guard_lets_through(
    server: Databases, battery: Battery, monkeypatch: Patch, without: Callable[[Patch], None]
) -> None:
    without(monkeypatch)
    with example_database(server, comparing=False) as examples:
        while not examples.verdict.illegal and examples.interleavings < 50 * UNGUARDED:
            play(
                examples, UNGUARDED, derandomize=False
            )  # if CI is set, Hypothesis thinks of the same each time
    assert examples.verdict.illegal
    battery.unguarded(
        3,
        without.__name__.removeprefix("without_").replace("_", " "),
        f"{examples.interleavings:,} interleavings",
        f"{len(examples.verdict.illegal):,} findings in {examples.verdict.transitions:,} transitions",
    )

"""Commands and run events, each in one transaction: lock the scenario, decide, save."""

from collections.abc import Iterable, Sequence
from typing import Literal
from uuid import UUID

import structlog

from ..messages import CreateScenario, Message, OrchestratorCommand, RunEvent, RunnerLeaving, RunReleased
from ..postgres import Connection, Database
from . import leases, store
from .lifecycle import Decision, Input, Scenario, create, decide

log = structlog.get_logger(__name__)


async def handle_command(database: Database, message: Message) -> None:
    """Carry out a command and record its answer; a command handled before has no second effect."""
    assert isinstance(message, OrchestratorCommand)  # noqa: S101 - the topic holds nothing else
    if isinstance(message, CreateScenario) and (await create_all(database, [message]))[0]:
        return
    async with database.transaction() as connection:
        answered = await _carry_out(connection, message)
        if answered is None:
            return
        await store.record_answer(connection, message.command_id, *answered)
    _log_command(message, answered[0])


async def handle_event(database: Database, message: Message) -> None:
    """Take note of what became of a run, or of a runner that leaves."""
    if isinstance(message, RunnerLeaving):
        async with database.connection() as connection:
            await leases.note_leaving(connection, message.instance)
    else:
        assert isinstance(message, RunEvent)  # noqa: S101 - the topic holds nothing else
        async with database.transaction() as connection:
            await apply(connection, message.scenario_id, message)
            if isinstance(message, RunReleased):
                # RunnerLeaving travels under another key and may come later: the run must not go back there.
                await leases.note_leaving(connection, message.instance)


async def apply(connection: Connection, scenario_id: UUID, message: Input) -> Decision | None:
    """Decide about one scenario inside a transaction, and save it; None where there is no such scenario."""
    scenario = await store.lock(connection, scenario_id)
    if scenario is None or scenario.deleted:
        return None
    return await apply_to(connection, scenario, message)


async def apply_to(connection: Connection, scenario: Scenario, message: Input) -> Decision:
    """Decide about a locked scenario inside its transaction, and save it."""
    (decision,) = await apply_each(connection, [(scenario, message)])
    return decision


async def apply_each(connection: Connection, inputs: Iterable[tuple[Scenario, Input]]) -> list[Decision]:
    """Decide about locked scenarios, each of which is there once, inside their transaction, and save them."""
    decided = [(scenario, decide(scenario, message)) for scenario, message in inputs]
    await store.save(connection, decided)
    for scenario, decision in decided:
        for step in decision.steps:
            log.info(
                "scenario moved",
                scenario=str(scenario.id),
                attempt=decision.scenario.attempt,
                state=step.after.value,
                reason=step.reason,
            )
    return [decision for _, decision in decided]


async def create_all(database: Database, commands: Sequence[CreateScenario]) -> list[Literal[True] | None]:
    """Create those that are new, and answer them, in one statement. None for the others."""
    async with database.connection() as connection:
        created = await store.insert(
            connection,
            [(create(each.scenario_id, each.spec), each.command_id) for each in commands],
        )
    for each in commands:
        if each.scenario_id in created:
            _log_command(each, "done")
    return [each.scenario_id in created or None for each in commands]


async def take_all(database: Database, events: Sequence[RunEvent]) -> list[Literal[True] | None]:
    """Take note of events in one transaction. None for those that cannot be: the scenario is locked by
    another, or unknown, or has an earlier event among these."""
    first: dict[UUID, RunEvent] = {}
    for event in events:
        first.setdefault(event.scenario_id, event)
    async with database.transaction() as connection:
        locked = await store.lock_free(connection, list(first))
        await apply_each(
            connection, [(scenario, first[scenario.id]) for scenario in locked if not scenario.deleted]
        )
    taken = {scenario.id for scenario in locked}
    return [(event.scenario_id in taken and event is first[event.scenario_id]) or None for event in events]


async def _carry_out(connection: Connection, command: OrchestratorCommand) -> tuple[store.Answer, str] | None:
    scenario = await store.lock(connection, command.scenario_id)
    if await store.was_handled(connection, command.command_id):
        return None
    if scenario is None:
        return "unknown", "There is no such scenario."
    if not isinstance(command, CreateScenario):
        if scenario.deleted:
            return "unknown", "The scenario was deleted."
        decision = await apply_to(connection, scenario, command)
        return decision.answer, decision.detail
    if scenario.deleted:
        return "conflict", "This id belonged to a deleted scenario: choose another."
    if scenario.spec != command.spec:
        return "mismatch", "This id belongs to a scenario that was asked for differently: choose another."
    return "done", "It existed already."


def _log_command(command: OrchestratorCommand, answer: store.Answer) -> None:
    log.info("command", command=type(command).__name__, scenario=str(command.scenario_id), answer=answer)

"""Handlers of commands and run events."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import structlog

from ..messages import (
    BatchCommand,
    CreateScenario,
    Message,
    OrchestratorCommand,
    RunEvent,
    RunnerLeaving,
    RunReleased,
    ScenarioCommand,
    StartScenario,
    UpdateScenario,
    subject_of,
)
from ..postgres import Connection, Database
from ..scenarios.command_answer import CommandAnswer
from . import leases, store
from .batches.commands import carry_out_for_batch
from .decisions import apply, apply_each, apply_to
from .descriptions import find_replacement
from .lifecycle import create
from .succession import create_one, update

log = structlog.get_logger(__name__)


async def handle_command(database: Database, message: Message) -> None:
    """Carry out a command and record its answer. A repeated command has no second effect."""
    assert isinstance(message, OrchestratorCommand)  # noqa: S101 - the topic holds nothing else
    if isinstance(message, CreateScenario) and message.is_plain:  # noqa: SIM102 - for its type
        if (await create_scenarios(database, [message]))[0]:
            return
    async with database.transaction() as connection:
        if isinstance(message, BatchCommand):
            answered = await carry_out_for_batch(connection, message)
        else:
            answered = await _carry_out(connection, message)
        if answered is None:
            return
        await store.record_answer(connection, message.command_id, *answered)
    _log_command(message, answered[0])


async def handle_event(database: Database, message: Message) -> None:
    """Apply what a run reported about itself, or note that a runner is leaving."""
    if isinstance(message, RunnerLeaving):
        async with database.connection() as connection:
            await leases.mark_leaving(connection, message.instance)
    else:
        assert isinstance(message, RunEvent)  # noqa: S101 - the topic holds nothing else
        async with database.transaction() as connection:
            await apply(connection, message.scenario_id, message)
            if isinstance(message, RunReleased):
                # RunnerLeaving has another key and may come later: the run must not go back there.
                await leases.mark_leaving(connection, message.instance)


async def create_scenarios(
    database: Database, commands: Sequence[CreateScenario]
) -> list[Literal[True] | None]:
    """Create the new ones of these scenarios and answer their commands, in one statement.

    Returns True for each that was created, and None for each whose id was used before.
    """
    async with database.connection() as connection:
        created = await store.insert(
            connection,
            [(create(each.scenario_id, each.spec, each.needs), each.command_id) for each in commands],
        )
    for each in commands:
        if each.scenario_id in created:
            _log_command(each, "done")
    return [each.scenario_id in created or None for each in commands]


async def handle_run_events(database: Database, events: Sequence[RunEvent]) -> list[Literal[True] | None]:
    """Apply several run events in one transaction.

    Returns True for each that was applied. None for the others: their scenario is locked by another
    transaction, or is unknown, or has an earlier event among these.
    """
    first: dict[UUID, RunEvent] = {}
    for event in events:
        first.setdefault(event.scenario_id, event)
    async with database.transaction() as connection:
        locked = await store.lock_available(connection, list(first))
        await apply_each(
            connection, [(scenario, first[scenario.id]) for scenario in locked if not scenario.is_deleted]
        )
    applied = {scenario.id for scenario in locked}
    return [(event.scenario_id in applied and event is first[event.scenario_id]) or None for event in events]


async def _carry_out(connection: Connection, command: ScenarioCommand) -> tuple[CommandAnswer, str] | None:
    """Return the answer and its detail, or None if the command was handled before."""
    if isinstance(command, CreateScenario):
        return await create_one(connection, command)
    scenario = await store.lock(connection, command.scenario_id)
    if await store.was_handled(connection, command.command_id):
        return None
    if scenario is None:
        return "unknown", "There is no such scenario."
    if scenario.is_deleted:
        return "unknown", "The scenario was deleted."
    if isinstance(command, UpdateScenario):
        return await update(connection, scenario, command)
    if isinstance(command, StartScenario) and (by := await find_replacement(connection, scenario.id)):
        return "conflict", f"It was replaced by the scenario {by}: start that one, or create another."
    decision = await apply_to(connection, scenario, command)
    return decision.answer, decision.detail


def _log_command(command: OrchestratorCommand, answer: CommandAnswer) -> None:
    subject = {"batch" if isinstance(command, BatchCommand) else "scenario": str(subject_of(command))}
    log.info("command", command=type(command).__name__, **subject, answer=answer)

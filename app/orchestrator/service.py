"""Commands and run events, each in one transaction: lock the scenario, decide, save."""

from uuid import UUID

import structlog

from app.messages import CreateScenario, Message, OrchestratorCommand, RunEvent, RunnerLeaving, RunReleased
from app.orchestrator import leases, store
from app.orchestrator.lifecycle import Decision, Input, Scenario, create, decide
from app.postgres import Connection, Database

log = structlog.get_logger(__name__)


async def handle_command(database: Database, message: Message) -> None:
    """Carry out a command and record its answer; a command handled before has no second effect."""
    assert isinstance(message, OrchestratorCommand)  # noqa: S101 - the topic holds nothing else
    answer = await _create(database, message) if isinstance(message, CreateScenario) else None
    if answer is None:
        async with database.transaction() as connection:
            answered = await _carry_out(connection, message)
            if answered is None:
                return
            await store.record_answer(connection, message.command_id, *answered)
        answer, _ = answered
    log.info("command", command=type(message).__name__, scenario=str(message.scenario_id), answer=answer)


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
    decision = decide(scenario, message)
    await store.save(connection, scenario, decision)
    for step in decision.steps:
        log.info(
            "scenario moved",
            scenario=str(scenario.id),
            attempt=decision.scenario.attempt,
            state=step.after.value,
            reason=step.reason,
        )
    return decision


async def _create(database: Database, command: CreateScenario) -> store.Answer | None:
    """The answer where the id is new: one statement does it all."""
    async with database.connection() as connection:
        created = create(command.scenario_id, command.spec)
        return "done" if await store.insert(connection, created, command.command_id) else None


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

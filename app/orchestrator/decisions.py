"""Decisions about scenarios, inside a transaction: lock the row, let the lifecycle decide, save."""

from collections.abc import Iterable
from uuid import UUID

import structlog

from ..postgres import Connection
from . import store
from .lifecycle import Decision, Input, ScenarioRecord, decide

log = structlog.get_logger(__name__)


async def apply(connection: Connection, scenario_id: UUID, message: Input) -> Decision | None:
    """Lock a scenario, decide and save. Returns None if there is no such scenario or it was deleted."""
    scenario = await store.lock(connection, scenario_id)
    if scenario is None or scenario.is_deleted:
        return None
    return await apply_to(connection, scenario, message)


async def apply_to(connection: Connection, scenario: ScenarioRecord, message: Input) -> Decision:
    """Decide about a locked scenario, and save."""
    (decision,) = await apply_each(connection, [(scenario, message)])
    return decision


async def apply_each(
    connection: Connection, inputs: Iterable[tuple[ScenarioRecord, Input]]
) -> list[Decision]:
    """Decide about several locked scenarios, each of which is there once, and save them in one statement."""
    decided = [(scenario, decide(scenario, message)) for scenario, message in inputs]
    await store.save(connection, decided)
    for scenario, decision in decided:
        for step in decision.steps:
            log.info(
                "scenario changed state",
                scenario=str(scenario.id),
                attempt=decision.scenario.attempt,
                state=step.after.value,
                reason=step.reason,
            )
    return [decision for _, decision in decided]

"""Commands that create scenarios which have tags or name others, and that change names, tags and dates.

Each function runs in the transaction that also stores the answer.
"""

import msgspec
from msgspec import UNSET

from ..domain.features import STORED
from ..domain.source import SourceError, parse_source
from ..domain.states import State
from ..domain.stored_spec import same_specs
from ..messages import CreateScenario, DateResults, StopScenario, UpdateScenario, results_changes
from ..postgres import Connection
from ..scenarios.command_answer import CommandAnswer
from ..scenarios.successions import MAX_REPLACED
from . import store
from .decisions import apply_to
from .descriptions import (
    Description,
    count_replaced,
    find_replacement,
    note,
    read_description,
    read_requested_spec,
    write_date,
    write_description,
)
from .footage import refuse_footage
from .lifecycle import ScenarioRecord, create

Answer = tuple[CommandAnswer, str]


class _Name(msgspec.Struct, frozen=True):
    name: str = ""


class _Source(msgspec.Struct, frozen=True):
    source: str


async def create_one(connection: Connection, command: CreateScenario) -> Answer | None:
    """Create a scenario with its tags, and stop the one that it replaces.

    Returns the answer and its detail, or None if the command was handled before.
    """
    replaced = None
    if command.replaces is not None:  # locked first, so that two commands never replace it both
        replaced = await store.lock(connection, command.replaces)
    existing = await store.lock(connection, command.scenario_id)
    if await store.was_handled(connection, command.command_id):
        return None
    if existing is not None:
        return await _answer_for_existing(connection, existing, command)
    if command.replaces is not None and (refusal := await _refusal(connection, replaced)):
        return refusal
    if STORED in command.needs and (refusal := await refuse_footage(connection, command.spec)):
        return refusal
    decision = create(command.scenario_id, command.spec, command.needs)
    if not await store.insert(connection, [(decision, None)]):  # created by another command at this moment
        existing = await store.lock(connection, command.scenario_id)
        assert existing is not None  # noqa: S101 - rows are never deleted
        return await _answer_for_existing(connection, existing, command)
    name = msgspec.json.decode(command.spec, type=_Name).name
    description = Description(name, command.tags or (), command.replaces)
    if replaced is not None:
        before = await read_description(connection, replaced.id)
        tags = before.tags if command.tags is None else command.tags
        description = Description(name or before.name, tags, replaced.id)
        await note(connection, decision.scenario, f"replaces the scenario {replaced.id}")
        await note(connection, replaced, f"replaced by the scenario {command.scenario_id}")
        await apply_to(connection, replaced, StopScenario(command.command_id, replaced.id))
    await write_description(connection, command.scenario_id, description)
    return "done", ""


async def update(connection: Connection, scenario: ScenarioRecord, command: UpdateScenario) -> Answer:
    """Change the name, the tags and the date of a locked scenario, as far as they are others."""
    before = await read_description(connection, scenario.id)
    recorded_at = before.recorded_at if command.recorded_at is UNSET else command.recorded_at
    after = Description(
        before.name if command.name is None else command.name,
        before.tags if command.tags is None else command.tags,
        before.replaces,
        recorded_at,
    )
    names = ("name", "tags", "recorded_at")
    changed = [what for what in names if getattr(after, what) != getattr(before, what)]
    if "recorded_at" in changed and (refusal := _no_date(scenario)):
        return "conflict", refusal
    if changed:
        await write_description(connection, scenario.id, after)
        number = await note(connection, scenario, f"{' and '.join(changed)} changed")
        if "recorded_at" in changed:
            await write_date(connection, scenario.id, recorded_at)
            began = None if recorded_at is None else recorded_at.timestamp()
            await store.send(
                connection, scenario.id, results_changes, DateResults(scenario.id, number, began)
            )
    return "done", ""


def _no_date(scenario: ScenarioRecord) -> str | None:
    """Return why the date of a scenario cannot be changed, or None if it can."""
    try:
        source = parse_source(msgspec.json.decode(scenario.spec, type=_Source).source)
    except SourceError:
        return "This version does not accept its source, so its date cannot be changed."
    if source.kind == "scenario":
        return "Its footage is another scenario's, and it has no date of its own: leave `recorded_at` out."
    if source.live or (scenario.media is not None and scenario.media.live):
        return "What a live source shows has the time at which it was received: leave `recorded_at` out."
    if scenario.state is not State.INACTIVE:
        return "It runs: wait until its state is inactive, or stop it, then change `recorded_at`."
    return None


async def _refusal(connection: Connection, replaced: ScenarioRecord | None) -> Answer | None:
    """Return why a scenario, which is locked if there is one, cannot be replaced, or None if it can."""
    if replaced is None:
        return "unknown", "There is no scenario with the id in `replaces`. GET /scenarios lists all ids."
    if replaced.is_deleted:
        return "unknown", "The scenario in `replaces` was deleted. GET /scenarios lists all ids."
    if by := await find_replacement(connection, replaced.id):
        return "conflict", f"The scenario in `replaces` was replaced by {by} already: replace that one."
    if await count_replaced(connection, replaced.id, MAX_REPLACED) >= MAX_REPLACED:
        return "conflict", (
            f"The events of {MAX_REPLACED} replaced scenarios are carried on already: create this one without"
            " `replaces`, and stop the other."
        )
    return None


async def _answer_for_existing(
    connection: Connection, existing: ScenarioRecord, command: CreateScenario
) -> Answer:
    if existing.is_deleted:
        return "conflict", "This id belonged to a deleted scenario: choose another."
    before = await read_description(connection, existing.id)
    requested = await read_requested_spec(connection, existing.id)
    if not same_specs(requested, command.spec) or before.replaces != command.replaces:
        return "mismatch", "This id belongs to a scenario with another specification: choose another."
    return "done", "The scenario existed already."

"""In which scenarios a label was found. They are in one database, and what was found in another one."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from ...postgres import Database
from .filters import ORDERS, ScenarioFilter, ScenarioPosition, condition_of

FEW: Final = 1_000
"""Scenarios with a label that are looked up at once. If there are more, the list is searched for them."""

_FIRST_PART = 4  # times the wanted number, in the part of the list that is looked up


async def find_ids_with(
    scenarios: Database,
    predictions: Database,
    label: str,
    wanted: ScenarioFilter,
    after: ScenarioPosition | None,
    limit: int,
) -> list[UUID]:
    """Return ids among which are the first `limit` scenarios that are wanted and have the label.

    Others among them have the label, but may not be wanted. If few scenarios have it, these are all of them.
    Else the beginning of the list is looked up, which suffices for a frequent label; if it does not, the list
    is read with the ids of all scenarios that have the label.
    """
    few = await _list_ids_with(predictions, label, FEW + 1)
    if len(few) <= FEW:
        return few
    first = await _list_ids(scenarios, wanted, after, _FIRST_PART * limit)
    known = await _select_with(predictions, label, first)
    found = [scenario_id for scenario_id in first if scenario_id in known]
    if len(found) >= limit or len(first) < _FIRST_PART * limit:
        return found[:limit]
    having = await _list_ids_with(predictions, label, None)
    return await _list_ids(scenarios, wanted, after, limit, among=having)


async def _list_ids(
    scenarios: Database,
    wanted: ScenarioFilter,
    after: ScenarioPosition | None,
    limit: int,
    among: Sequence[UUID] | None = None,
) -> list[UUID]:
    """Return the first ids of the list that are among these, which is what indexes have."""
    condition, values = condition_of(wanted, after, first_parameter=2, among=among)
    sql = f"SELECT id FROM scenarios WHERE {condition} ORDER BY {ORDERS[wanted.order]} LIMIT $1"  # noqa: S608
    async with scenarios.transaction() as connection:
        # A plan for any ids would compare each scenario with each of them: only one for these makes a hash.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        return [row["id"] for row in await connection.fetch(sql, limit, *values)]


async def _list_ids_with(predictions: Database, label: str, limit: int | None) -> list[UUID]:
    sql = """
        SELECT array_agg(scenario_id)
          FROM (SELECT scenario_id FROM found_labels WHERE label = $1 LIMIT $2) AS found
    """
    async with predictions.connection() as connection:
        return await connection.fetchval(sql, label, limit) or []


async def _select_with(predictions: Database, label: str, scenario_ids: Sequence[UUID]) -> set[UUID]:
    sql = "SELECT scenario_id FROM found_labels WHERE label = $1 AND scenario_id = ANY($2)"
    async with predictions.connection() as connection:
        return {row["scenario_id"] for row in await connection.fetch(sql, label, scenario_ids)}

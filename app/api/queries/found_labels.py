"""In which scenarios a label was found. They are in one database, and what was found in another one."""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from ...postgres import Database
from .filters import ORDERS, ScenarioFilter, ScenarioPosition, condition_of, position_of

FEW: Final = 1_000
"""Scenarios with a label that are looked up at once. If there are more, the list is searched for them."""

_FIRST_PART = 4  # times the wanted number, in the first part of the list that is searched
_MAX_PART = 16_000  # scenarios


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
    Else the list of all scenarios that are wanted otherwise is searched in its order until `limit` have it.
    """
    few = await _list_ids_with(predictions, label, FEW + 1)
    if len(few) <= FEW:
        return few
    found = list[UUID]()
    size = _FIRST_PART * limit
    while len(found) < limit:
        condition, values = condition_of(wanted, after, first_parameter=2)
        sql = f"""
            SELECT created_at, sort_name, id FROM scenarios
             WHERE {condition} ORDER BY {ORDERS[wanted.order]} LIMIT $1
        """  # noqa: S608
        async with scenarios.connection() as connection:
            rows = await connection.fetch(sql, size, *values)
        known = await _select_with(predictions, label, [row["id"] for row in rows])
        found += [row["id"] for row in rows if row["id"] in known]
        if len(rows) < size:
            break
        after = position_of(rows[-1], wanted.order)
        size = min(2 * size, _MAX_PART)
    return found[:limit]


async def _list_ids_with(predictions: Database, label: str, limit: int) -> list[UUID]:
    """Return up to `limit` scenarios. Each step goes to the next one in the index, past its other blocks."""
    sql = """
        WITH RECURSIVE found AS (
            (SELECT scenario_id FROM label_blocks WHERE label = $1 ORDER BY scenario_id LIMIT 1)
            UNION ALL
            SELECT (SELECT scenario_id FROM label_blocks
                     WHERE label = $1 AND scenario_id > found.scenario_id ORDER BY scenario_id LIMIT 1)
              FROM found WHERE scenario_id IS NOT NULL
        )
        SELECT scenario_id FROM found WHERE scenario_id IS NOT NULL LIMIT $2
    """
    async with predictions.connection() as connection:
        return [row["scenario_id"] for row in await connection.fetch(sql, label, limit)]


async def _select_with(predictions: Database, label: str, scenario_ids: Iterable[UUID]) -> set[UUID]:
    # LIMIT: one look into the index for each; else the planner may read all blocks of the label.
    sql = """
        SELECT id FROM unnest($2::uuid[]) AS id CROSS JOIN LATERAL (
            SELECT FROM label_blocks WHERE scenario_id = id AND label = $1 LIMIT 1) AS found
    """
    async with predictions.connection() as connection:
        return {row["id"] for row in await connection.fetch(sql, label, list(scenario_ids))}

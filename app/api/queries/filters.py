"""Which scenarios are listed or counted, and in which order."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from asyncpg import Record
from msgspec import Meta, Struct

from ...domain.states import Outcome, State
from ...postgres import Database

Order = Literal["asc", "desc", "name", "name-desc"]

ORDERS: dict[Order, str] = {
    "asc": "created_at ASC, id ASC",
    "desc": "created_at DESC, id DESC",
    "name": "sort_name ASC, id ASC",
    "name-desc": "sort_name DESC, id DESC",
}
"""What a list is ordered by."""


class ScenarioFilter(Struct, frozen=True):
    """Which scenarios are listed: those that all of these fit which are not None.

    `text` is a part of the name, a tag, a file's path or an address's host, in small or large letters.
    `found` is a label that was found; `found_labels` says in which scenarios.
    """

    state: State | None = None
    name: str | None = None
    tag: str | None = None
    outcome: Outcome | None = None
    source: str | None = None
    text: str | None = None
    live: bool | None = None
    ended: bool | None = None
    order: Order = "desc"
    batch: UUID | None = None
    found: str | None = None


class AgePosition(Struct, frozen=True, array_like=True):
    """The last scenario of a page of a list by age."""

    created_at: Annotated[datetime, Meta(tz=True)]
    id: UUID


class NamePosition(Struct, frozen=True, array_like=True):
    """The last scenario of a page of a list by name."""

    sort_name: str
    id: UUID


ScenarioPosition = AgePosition | NamePosition


def position_of(row: Record, order: Order) -> ScenarioPosition:
    """Return the position of a row of scenarios in a list of this order."""
    if order in ("asc", "desc"):
        return AgePosition(row["created_at"], row["id"])
    return NamePosition(row["sort_name"], row["id"])


class ScenarioCounts(Struct, frozen=True):
    """How many scenarios there are. States and outcomes that none has are left out."""

    total: int
    live: Annotated[int, Meta(description="that have a live source, and have not ended")]
    states: dict[State, int]
    outcomes: dict[Outcome, int]


def condition_of(
    wanted: ScenarioFilter,
    after: ScenarioPosition | None,
    *,
    first_parameter: int,
    ids: Sequence[UUID] | None = None,
    among: Sequence[UUID] | None = None,
) -> tuple[str, list[object]]:
    """Return a condition and the values of its parameters, which are counted from `first_parameter`.

    If `ids` are given, only these fit; they are looked up. Of `among`, which may be many, each scenario in
    the order of the list is looked for. The condition does not look at `wanted.found`.

    `$1` must be the number of scenarios that are wanted. Only what is asked for is in the condition: with
    `$3 IS NULL OR …` the plan would be one for all filters, and use the index of none.
    """
    conditions, values = ["deleted_at IS NULL"], list[object]()

    def parameter(value: object) -> str:
        values.append(value)
        return f"${len(values) + first_parameter - 1}"

    if ids is not None:
        conditions.append(f"id = ANY({parameter(ids)}::uuid[])")
    if among is not None:  # IS TRUE: no condition for an index, which would look up each of them
        conditions.append(f"(id = ANY({parameter(among)}::uuid[])) IS TRUE")
    if wanted.state is not None:
        conditions.append(f"state = {parameter(wanted.state)}")
    if wanted.name is not None:
        conditions.append(f"coalesce(name, spec->>'name') = {parameter(wanted.name)}")
    if wanted.tag is not None:
        conditions.append(f"tags <> '{{}}' AND tags @> ARRAY[{parameter(wanted.tag)}::text]")
    if wanted.outcome is not None:
        conditions.append(f"outcome = {parameter(wanted.outcome)}")
    if wanted.source is not None:
        source = parameter(wanted.source)
        conditions.append(f"md5(spec->>'source') = md5({source}::text) AND spec->>'source' = {source}")
    if wanted.batch is not None:
        conditions.append(f"batch_id = {parameter(wanted.batch)}")
    if wanted.live is not None:
        conditions.append("is_live" if wanted.live else "NOT is_live")
    if wanted.ended is not None:
        conditions.append(f"state {'=' if wanted.ended else '<>'} 'inactive'")
    if after is not None:
        sign = "<" if wanted.order.endswith("desc") else ">"
        if isinstance(after, AgePosition):
            position = f"({parameter(after.created_at)}::timestamptz, {parameter(after.id)}::uuid)"
            conditions.append(f"(created_at, id) {sign} {position}")
        else:
            position = f"({parameter(after.sort_name)}::text, {parameter(after.id)}::uuid)"
            conditions.append(f"(sort_name, id) {sign} {position}")
    if wanted.text is not None:
        pattern = "%" + re.sub(r"([\\%_])", r"\\\1", wanted.text) + "%"
        conditions.append(f"searched LIKE lower({parameter(pattern)})")
    condition = " AND ".join(conditions)
    if wanted.text is None:
        return condition, values
    # First the ids: an index has all that this reads, and the table's rows are large.
    parts = [
        f"(SELECT id FROM scenarios WHERE {condition}"  # noqa: S608
        f" AND octet_length(searched) + octet_length(sort_name) {size}"
        f" ORDER BY {ORDERS[wanted.order]} LIMIT $1 + 1)"
        for size in ("<= 2400", "> 2400")
    ]
    return f"id IN ({' UNION ALL '.join(parts)})", values


async def count_scenarios(scenarios: Database) -> ScenarioCounts:
    """Return how many scenarios there are."""
    sql = """
        SELECT state, outcome, is_live AS live, count(*) AS n FROM scenarios
         WHERE deleted_at IS NULL GROUP BY 1, 2, 3
    """
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql)
    states, outcomes = dict[State, int](), dict[Outcome, int]()
    for row in rows:
        states[row["state"]] = states.get(row["state"], 0) + row["n"]
        if row["outcome"] is not None:
            outcomes[row["outcome"]] = outcomes.get(row["outcome"], 0) + row["n"]
    live = sum(row["n"] for row in rows if row["live"] and row["state"] != "inactive")
    return ScenarioCounts(sum(states.values()), live, states, outcomes)

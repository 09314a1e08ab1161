"""Which scenarios are listed or counted, and in which order."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from ...domain.states import Outcome, State
from ...postgres import Database

Order = Literal["asc", "desc"]

# Before a source was opened, its text tells. An HTTP address does not: it counts as a recording until then.
_IS_LIVE = """(CASE WHEN media IS NULL THEN spec->>'source' ~* '^rtsps?:|^test:.*[?&]live=true'
                    ELSE coalesce((media->>'live')::boolean, false) END)"""
# Of an address only the host is searched, and nothing if it may have a login: else one could find out a
# password by searching for parts of it.
_SEARCHED = """lower(concat_ws(E'\n', coalesce(name, spec->>'name'), array_to_string(tags, E'\n'),
                    CASE WHEN spec->>'source' LIKE '%@%' THEN NULL
                         WHEN spec->>'source' LIKE '%://%'
                         THEN substring(spec->>'source' FROM '^[A-Za-z]+://[^/?#]*')
                         ELSE spec->>'source' END))"""


class ScenarioFilter(Struct, frozen=True):
    """Which scenarios are listed: those that all of these fit which are not None.

    `text` is a part of the name, a tag, a file's path or an address's host, in small or large letters.
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


class ScenarioPosition(Struct, frozen=True, array_like=True):
    """The last scenario of a page."""

    created_at: Annotated[datetime, Meta(tz=True)]
    id: UUID


class ScenarioCounts(Struct, frozen=True):
    """How many scenarios there are. States and outcomes that none has are left out."""

    total: int
    live: Annotated[int, Meta(description="that have a live source, and have not ended")]
    states: dict[State, int]
    outcomes: dict[Outcome, int]


def condition_of(
    wanted: ScenarioFilter, after: ScenarioPosition | None, *, first_parameter: int
) -> tuple[str, list[object]]:
    """Return a condition and the values of its parameters, which are counted from `first_parameter`.

    Only what is asked for is in it: with `$3 IS NULL OR …` the plan would be one for all filters, and use
    the index of none.
    """
    conditions, values = ["deleted_at IS NULL"], list[object]()

    def parameter(value: object) -> str:
        values.append(value)
        return f"${len(values) + first_parameter - 1}"

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
    if wanted.text is not None:
        conditions.append(f"position(lower({parameter(wanted.text)}::text) IN {_SEARCHED}) > 0")
    if wanted.live is not None:
        conditions.append(_IS_LIVE if wanted.live else f"NOT {_IS_LIVE}")
    if wanted.ended is not None:
        conditions.append(f"state {'=' if wanted.ended else '<>'} 'inactive'")
    if after is not None:
        position = f"({parameter(after.created_at)}::timestamptz, {parameter(after.id)}::uuid)"
        conditions.append(f"(created_at, id) {'>' if wanted.order == 'asc' else '<'} {position}")
    return " AND ".join(conditions), values


async def count_scenarios(scenarios: Database) -> ScenarioCounts:
    """Return how many scenarios there are."""
    sql = f"""
        SELECT state, outcome, {_IS_LIVE} AS live, count(*) AS n FROM scenarios
         WHERE deleted_at IS NULL GROUP BY 1, 2, 3
    """  # noqa: S608
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql)
    states, outcomes = dict[State, int](), dict[Outcome, int]()
    for row in rows:
        states[row["state"]] = states.get(row["state"], 0) + row["n"]
        if row["outcome"] is not None:
            outcomes[row["outcome"]] = outcomes.get(row["outcome"], 0) + row["n"]
    live = sum(row["n"] for row in rows if row["live"] and row["state"] != "inactive")
    return ScenarioCounts(sum(states.values()), live, states, outcomes)

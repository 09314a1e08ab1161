"""The changes of scenarios: the history of one, and the changes of all in the order of streams.

The history of a scenario is merged from both databases: its transitions, and the changes of its live source.
"""

from datetime import datetime
from heapq import merge
from itertools import takewhile
from operator import itemgetter
from typing import Annotated, Literal
from uuid import UUID

from asyncpg import Record
from msgspec import Meta, Struct, field
from msgspec.structs import replace

from ...domain.media import Media
from ...domain.states import Outcome, State
from ...postgres import Database
from ...scenarios.json_columns import decode_media
from .stream_order import StreamPosition, position_of


class ScenarioChange(Struct, frozen=True, tag_field="kind", tag="state"):
    """One transition of a scenario. `from` is null for the first."""

    id: Annotated[
        str, Meta(description="usable as Last-Event-ID of GET /stream, for `scenario` events alone")
    ]
    scenario_id: UUID
    at: datetime
    from_: State | None = field(name="from")
    to: State
    attempt: int
    runner_id: str | None
    reason: str
    outcome: Annotated[Outcome | None, Meta(description="only for the latest end of the scenario")]
    error: str | None
    deleted: Annotated[bool, Meta(description="whether the scenario has been deleted since")]


class SourceChange(Struct, frozen=True, tag_field="kind", tag="source"):
    """A change of a live source: it was lost, met another error, froze, came back, or has other pictures."""

    scenario_id: UUID
    number: Annotated[
        int,
        Meta(
            description="counts the changes of the scenario's source from 1. The latest 1,000 are kept: if"
            " the first one has a greater number, older ones were removed"
        ),
    ]
    at: datetime
    state: Annotated[
        Literal["open", "frozen", "reconnecting"], Meta(description="the source's state from then on")
    ]
    attempt: int
    reason: Annotated[str, Meta(description="why it was lost, or what changed")]
    media: Annotated[Media | None, Meta(description="what it sends from then on, if that changed")]


class ChangePage(Struct, frozen=True):
    """Changes, oldest first. `next_cursor` is null if there are no more now."""

    items: list[ScenarioChange | SourceChange]
    next_cursor: str | None


_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class HistoryPosition(Struct, frozen=True, array_like=True):
    """A position in a scenario's history: the last transition and the last change of its source before it."""

    transition: _Number = 0
    source_change: _Number = 0


MAX_PAGE = 4_000_000
"""Bytes of texts after which a page ends."""

_COLUMNS = """
    e.xid::text::numeric AS xid, e.id, e.scenario_id, e.at, e.from_state, e.to_state, e.attempt, e.runner_id,
    e.reason, s.deleted_at IS NOT NULL AS deleted, s.outcome, s.error,
    e.to_state = 'inactive' AND e.attempt = s.attempt AS final
"""


async def list_history(
    scenarios: Database, predictions: Database, scenario_id: UUID, after: HistoryPosition, limit: int
) -> tuple[list[ScenarioChange | SourceChange], HistoryPosition | None]:
    """Return up to `limit` changes of one scenario after a position, and where the next page begins.

    Both kinds are merged by their time. Each keeps its own order, so that pages neither repeat nor skip one,
    whatever the clocks of two databases say. A page ends early once the texts of its transitions hold
    MAX_PAGE bytes, but has at least one.
    """
    transitions = await _list_transitions(scenarios, scenario_id, after.transition, limit + 1)
    of_source = await _list_source_changes(predictions, scenario_id, after.source_change, limit + 1)
    is_cut = bool(transitions) and transitions[-1]["has_next"]
    if is_cut:
        last = transitions[-1]["at"]
        of_source = list(takewhile(lambda row: row["at"] <= last, of_source))  # their times may go back
    merged = list(merge(transitions, of_source, key=itemgetter("at")))
    items: list[ScenarioChange | SourceChange] = []
    position = after
    for row in merged[:limit]:
        if "number" in row:
            items.append(to_source_change(row))
            position = replace(position, source_change=row["number"])
        else:
            items.append(_change(row))
            position = replace(position, transition=row["id"])
    return items, position if is_cut or len(merged) > limit else None


async def _list_transitions(scenarios: Database, scenario_id: UUID, after: int, limit: int) -> list[Record]:
    sql = _page("e.scenario_id = $1 AND e.id > $2", "id")
    async with scenarios.connection() as connection:
        return await connection.fetch(sql, scenario_id, after, limit, MAX_PAGE)


async def _list_source_changes(
    predictions: Database, scenario_id: UUID, after: int, limit: int
) -> list[Record]:
    sql = """
        SELECT scenario_id, number, at, state, attempt, reason, media FROM source_changes
        WHERE scenario_id = $1 AND number > $2 ORDER BY number LIMIT $3
    """
    async with predictions.connection() as connection:
        return await connection.fetch(sql, scenario_id, after, limit)


async def read_changes(
    scenarios: Database, after: StreamPosition, limit: int
) -> tuple[list[ScenarioChange], StreamPosition]:
    """Return up to `limit` changes of all scenarios after a position, and the position of the last.

    They are fewer once their texts hold MAX_PAGE bytes, but at least one.
    """
    is_new = "(e.xid, e.id) > ($1::text::xid8, $2) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())"
    sql = _page(is_new, "xid", "id")
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql, str(after.xid), after.id, limit, MAX_PAGE)
    return [_change(row) for row in rows], position_of(rows[-1]) if rows else after


def _page(condition: str, *order: str) -> str:
    """Return a query of at most $3 changes, fewer once their texts hold $4 bytes.

    `has_next` says of a row that another one follows.
    """
    return f"""
        SELECT * FROM (
            SELECT found.*, lead(id) OVER in_order IS NOT NULL AS has_next,
                   sum(octet_length(reason) + coalesce(octet_length(error) * final::integer, 0))
                     OVER (in_order ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
              FROM (SELECT {_COLUMNS} FROM scenario_events e JOIN scenarios s ON s.id = e.scenario_id
             WHERE {condition} ORDER BY {", ".join(f"e.{name}" for name in order)} LIMIT $3) AS found
            WINDOW in_order AS (ORDER BY {", ".join(order)})) AS counted
         WHERE before IS NULL OR before < $4 ORDER BY {", ".join(order)}
    """  # noqa: S608


def _change(row: Record) -> ScenarioChange:
    return ScenarioChange(
        id=str(position_of(row)),  # a numeric would write 60000 as 6E+4
        scenario_id=row["scenario_id"],
        at=row["at"],
        from_=row["from_state"],
        to=row["to_state"],
        attempt=row["attempt"],
        runner_id=row["runner_id"],
        reason=row["reason"],
        outcome=row["outcome"] if row["final"] else None,
        error=row["error"] if row["final"] else None,
        deleted=row["deleted"],
    )


def to_source_change(row: Record) -> SourceChange:
    """Return a stored row of `source_changes`."""
    return SourceChange(
        scenario_id=row["scenario_id"],
        number=row["number"],
        at=row["at"],
        state=row["state"],
        attempt=row["attempt"],
        reason=row["reason"],
        media=decode_media(row["media"]),
    )

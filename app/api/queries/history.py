"""The changes of scenarios: the history of one, and the changes of all in the order of streams.

The history of a scenario is merged from both databases: its transitions, and the changes of its live source.

Event streams order changes by (xid, id) and stop below the oldest transaction that still runs. Ids alone
would not do: an id is drawn before its transaction commits, so a reader would skip what commits late.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
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
from ...postgres import Connection, Database
from ...scenarios.json_columns import decode_media


class ScenarioChange(Struct, frozen=True, tag_field="kind", tag="state"):
    """One transition of a scenario. `from` is null for the first."""

    id: Annotated[str, Meta(description="usable as Last-Event-ID of GET /stream")]
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


class StreamPosition(Struct, frozen=True, order=True):
    """A position in the order of all changes: those up to it have been read."""

    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.xid}-{self.id}"


class NewestChange(Struct, frozen=True):
    """Where the readable changes end, and whether newer ones wait until an older transaction ends."""

    position: StreamPosition
    is_pending: bool


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
            items.append(_source_change(row))
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


async def list_new_source_changes(predictions: Database, after: Mapping[UUID, int]) -> list[SourceChange]:
    """Return the changes of these scenarios' sources after a number each."""
    if not after:
        return []
    sql = """
        SELECT scenario_id, number, at, state, attempt, reason, media
        FROM source_changes JOIN unnest($1::uuid[], $2::bigint[]) AS seen (scenario_id, latest)
             USING (scenario_id)
        WHERE number > latest ORDER BY scenario_id, number
    """
    async with predictions.connection() as connection:
        rows = await connection.fetch(sql, list(after), list(after.values()))
    return [_source_change(row) for row in rows]


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
    return [_change(row) for row in rows], _position(rows[-1]) if rows else after


async def misses_old_changes(scenarios: Database, after: StreamPosition, max_age: timedelta) -> bool:
    """Return whether the first change after a position is older than `max_age`."""
    sql = """
        SELECT at < clock_timestamp() - $3::interval FROM scenario_events
        WHERE (xid, id) > ($1::text::xid8, $2) ORDER BY xid, id LIMIT 1
    """
    async with scenarios.connection() as connection:
        return bool(await connection.fetchval(sql, str(after.xid), after.id, max_age))


async def read_newest(connection: Connection) -> NewestChange:
    """Return where the readable changes end now."""
    sql = """
        WITH horizon AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS oldest)
        SELECT xid::text::numeric AS xid, id, xid >= oldest AS pending FROM horizon, LATERAL (
            (SELECT xid, id FROM scenario_events WHERE xid < oldest ORDER BY xid DESC, id DESC LIMIT 1)
            UNION ALL
            (SELECT xid, id FROM scenario_events ORDER BY xid DESC, id DESC LIMIT 1)
        ) AS newest
    """
    rows = await connection.fetch(sql, timeout=5)
    readable = [row for row in rows if not row["pending"]]
    position = _position(readable[0]) if readable else StreamPosition(0, 0)
    return NewestChange(position, is_pending=any(row["pending"] for row in rows))


async def read_present(scenarios: Database) -> tuple[StreamPosition, int]:
    """Return a position before which everything has committed, and the next transaction number."""
    sql = """
        SELECT pg_snapshot_xmin(taken)::text AS oldest, pg_snapshot_xmax(taken)::text AS next
        FROM pg_current_snapshot() AS taken
    """
    async with scenarios.connection() as connection:
        (row,) = await connection.fetch(sql)
    return StreamPosition(int(row["oldest"]), 0), int(row["next"])


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


def _position(row: Record) -> StreamPosition:
    return StreamPosition(int(row["xid"]), row["id"])


def _change(row: Record) -> ScenarioChange:
    return ScenarioChange(
        id=f"{row['xid']}-{row['id']}",
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


def _source_change(row: Record) -> SourceChange:
    return SourceChange(
        scenario_id=row["scenario_id"],
        number=row["number"],
        at=row["at"],
        state=row["state"],
        attempt=row["attempt"],
        reason=row["reason"],
        media=decode_media(row["media"]),
    )

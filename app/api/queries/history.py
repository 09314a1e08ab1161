"""The changes of scenarios: the history of one, and the changes of all in the order of streams.

Event streams order changes by (xid, id) and stop below the oldest transaction that still runs. Ids alone
would not do: an id is drawn before its transaction commits, so a reader would skip what commits late.
"""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from asyncpg import Record
from msgspec import Meta, Struct, field

from ...domain.states import Outcome, State
from ...postgres import Connection, Database


class ScenarioChange(Struct, frozen=True):
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


class ChangePage(Struct, frozen=True):
    """Changes, oldest first. `next_cursor` is null if there are no more now."""

    items: list[ScenarioChange]
    next_cursor: str | None


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


_COLUMNS = """
    e.xid::text::numeric AS xid, e.id, e.scenario_id, e.at, e.from_state, e.to_state, e.attempt, e.runner_id,
    e.reason, s.deleted_at IS NOT NULL AS deleted, s.outcome, s.error,
    e.to_state = 'inactive' AND e.attempt = s.attempt AS final
"""


async def list_changes(
    scenarios: Database, scenario_id: UUID, after: int, limit: int
) -> tuple[list[ScenarioChange], int | None]:
    """Return up to `limit` changes of one scenario after number `after`, and where the next page begins."""
    sql = f"""
        SELECT {_COLUMNS} FROM scenario_events e JOIN scenarios s ON s.id = e.scenario_id
        WHERE e.scenario_id = $1 AND e.id > $2 ORDER BY e.id LIMIT $3
    """  # noqa: S608
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql, scenario_id, after, limit + 1)
    more = rows[limit - 1]["id"] if len(rows) > limit else None
    return [_change(row) for row in rows[:limit]], more


async def read_changes(
    scenarios: Database, after: StreamPosition, limit: int
) -> tuple[list[ScenarioChange], StreamPosition]:
    """Return up to `limit` changes of all scenarios after a position, and the position of the last."""
    sql = f"""
        SELECT {_COLUMNS} FROM scenario_events e JOIN scenarios s ON s.id = e.scenario_id
        WHERE (e.xid, e.id) > ($1::text::xid8, $2) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY e.xid, e.id LIMIT $3
    """  # noqa: S608
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql, str(after.xid), after.id, limit)
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

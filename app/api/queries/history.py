"""The changes of scenarios: the history of one, and the live order of all.

The live order is (xid, id) below the oldest transaction still running: ids are drawn before commit, so a
reader that went by ids alone would skip what commits late.
"""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy
from msgspec import Meta, Struct, field

from ...postgres import Database
from .scenarios import EXAMPLE as SCENARIO
from .scenarios import Outcome, State


class ScenarioChange(Struct, frozen=True):
    """One transition of a scenario. `from` is null for its first."""

    id: Annotated[str, Meta(description="usable as Last-Event-ID of GET /events")]
    scenario_id: UUID
    at: datetime
    from_: State | None = field(name="from")
    to: State
    attempt: int
    runner_id: str | None
    reason: str
    outcome: Annotated[Outcome | None, Meta(description="of the end that has been the last so far")]
    error: str | None
    deleted: Annotated[bool, Meta(description="whether the scenario has been deleted since")]


class ChangePage(Struct, frozen=True):
    """Changes, oldest first. `next_cursor` is null where there are no more now."""

    items: list[ScenarioChange]
    next_cursor: str | None


class StreamPosition(Struct, frozen=True, order=True):
    """A place in the live order: everything up to it has been seen."""

    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.xid}-{self.id}"


class NewestChange(Struct, frozen=True):
    """The newest change in the live order, and whether newer ones wait for an older transaction's end."""

    position: StreamPosition
    pending: bool


_COLUMNS = """
    e.xid::text::numeric AS xid, e.id, e.scenario_id, e.at, e.from_state, e.to_state, e.attempt, e.runner_id,
    e.reason, s.deleted_at IS NOT NULL AS deleted, s.outcome, s.error,
    e.to_state = 'inactive' AND e.attempt = s.attempt AS final
"""


async def list_changes(
    scenarios: Database, scenario_id: UUID, after: int, limit: int
) -> tuple[list[ScenarioChange], int | None]:
    """Up to `limit` changes of one scenario after the one numbered `after`, and the number to go on from."""
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
    """Up to `limit` changes after a position in the live order, and the position to go on from."""
    sql = f"""
        SELECT {_COLUMNS} FROM scenario_events e JOIN scenarios s ON s.id = e.scenario_id
        WHERE (e.xid, e.id) > ($1::text::xid8, $2) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY e.xid, e.id LIMIT $3
    """  # noqa: S608
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql, str(after.xid), after.id, limit)
    return [_change(row) for row in rows], StreamPosition(
        int(rows[-1]["xid"]), rows[-1]["id"]
    ) if rows else after


async def read_head(connection: "Connection[Record] | PoolConnectionProxy[Record]") -> NewestChange:
    """Where the live order ends now."""
    sql = """
        WITH horizon AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS oldest)
        SELECT xid::text::numeric AS xid, id, xid >= oldest AS pending FROM horizon, LATERAL (
            (SELECT xid, id FROM scenario_events WHERE xid < oldest ORDER BY xid DESC, id DESC LIMIT 1)
            UNION ALL
            (SELECT xid, id FROM scenario_events ORDER BY xid DESC, id DESC LIMIT 1)
        ) AS newest
    """
    rows = await connection.fetch(sql, timeout=5)
    settled = [row for row in rows if not row["pending"]]
    position = StreamPosition(int(settled[0]["xid"]), settled[0]["id"]) if settled else StreamPosition(0, 0)
    return NewestChange(position, pending=any(row["pending"] for row in rows))


async def read_now(scenarios: Database) -> tuple[StreamPosition, int]:
    """A position before which everything was committed, and the next transaction number."""
    sql = """
        SELECT pg_snapshot_xmin(taken)::text AS oldest, pg_snapshot_xmax(taken)::text AS unborn
        FROM pg_current_snapshot() AS taken
    """
    async with scenarios.connection() as connection:
        (row,) = await connection.fetch(sql)
    return StreamPosition(int(row["oldest"]), 0), int(row["unborn"])


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


EXAMPLE = ScenarioChange(
    id="812-41",
    scenario_id=SCENARIO.id,
    at=datetime(2026, 1, 31, 9, 30, 4, tzinfo=UTC),
    from_="in_startup_processing",
    to="active",
    attempt=1,
    runner_id="local",
    reason="first frame decoded",
    outcome=None,
    error=None,
    deleted=False,
)

"""The order in which event streams tell rows, and positions in it, in either database.

Rows are ordered by (xid, id), and are readable below the oldest transaction that still runs. Ids alone would
not do: an id is drawn before its transaction commits, so a reader would skip what commits late.
"""

from datetime import timedelta
from typing import Literal

from asyncpg import Record
from msgspec import Struct

from ...postgres import Connection, Database

StreamTable = Literal["scenario_events", "stream_entries"]
"""What streams tell from the scenarios database, and from the predictions database."""


class StreamPosition(Struct, frozen=True, order=True):
    """A position in the order of a database: the rows up to it have been read."""

    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.xid}-{self.id}"


class NewestRow(Struct, frozen=True):
    """Where the readable rows end, and whether newer ones wait until an older transaction ends."""

    position: StreamPosition
    is_pending: bool


def position_of(row: Record) -> StreamPosition:
    """Return the position of a row, whose `xid` is a numeric."""
    return StreamPosition(int(row["xid"]), row["id"])


async def read_present(database: Database) -> tuple[StreamPosition, int]:
    """Return a position before which everything has committed, and the next transaction number."""
    sql = """
        SELECT pg_snapshot_xmin(taken)::text AS oldest, pg_snapshot_xmax(taken)::text AS next
        FROM pg_current_snapshot() AS taken
    """
    async with database.connection() as connection:
        (row,) = await connection.fetch(sql)
    return StreamPosition(int(row["oldest"]), 0), int(row["next"])


async def read_newest(connection: Connection, table: StreamTable) -> NewestRow:
    """Return where the readable rows end now."""
    sql = f"""
        WITH horizon AS MATERIALIZED (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS oldest)
        SELECT xid::text::numeric AS xid, id, xid >= oldest AS pending FROM horizon, LATERAL (
            (SELECT xid, id FROM {table} WHERE xid < oldest ORDER BY xid DESC, id DESC LIMIT 1)
            UNION ALL
            (SELECT xid, id FROM {table} ORDER BY xid DESC, id DESC LIMIT 1)
        ) AS newest
    """  # noqa: S608 - one of two names
    rows = await connection.fetch(sql, timeout=5)
    readable = [row for row in rows if not row["pending"]]
    position = position_of(readable[0]) if readable else StreamPosition(0, 0)
    return NewestRow(position, is_pending=any(row["pending"] for row in rows))


async def misses_old_rows(
    database: Database, table: StreamTable, after: StreamPosition, max_age: timedelta
) -> bool:
    """Return whether the first row after a position is older than `max_age`."""
    sql = f"""
        SELECT at < clock_timestamp() - $3::interval FROM {table}
        WHERE (xid, id) > ($1::text::xid8, $2) ORDER BY xid, id LIMIT 1
    """  # noqa: S608 - one of two names
    async with database.connection() as connection:
        return bool(await connection.fetchval(sql, str(after.xid), after.id, max_age))

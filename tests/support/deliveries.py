"""Deliveries as a runner stores them, and what the table holds."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from app.domain.analysis import Notify
from app.domain.event import Event
from app.postgres import Connection, Database
from app.predictions.delivery import NewDelivery
from app.runner.analysing.deliveries import new_deliveries


def event(number: int, *, kind: str = "alert", state: str = "ended", end_time: float = 4.0) -> Event:
    return Event(
        event_id=number,
        kind=kind,  # type: ignore[arg-type]
        state=state,  # type: ignore[arg-type]
        label="person",
        track_id=7,
        name=None if kind in ("object", "presence") else "visitor",
        direction=None,
        start_frame=30,
        start_time=end_time - 1.0,
        end_frame=60,
        end_time=end_time,
        best_frame=45,
        best_time=end_time - 0.5,
        best_box=(1.0, 2.0, 30.0, 40.0),
        best_confidence=0.9,
    )


async def add(database: Database, scenario_id: UUID, *numbers: int, channel: str = "ops") -> None:
    """Store a delivery for an alert of each number."""
    rows = new_deliveries(
        Notify((channel,), recordings=True),
        scenario_id,
        "yard",
        [event(number) for number in numbers],
        unix_time=None,
    )
    async with database.connection() as connection:
        await insert(connection, scenario_id, rows)


async def insert(connection: Connection, scenario_id: UUID, rows: Sequence[NewDelivery]) -> None:
    """Store deliveries as the statement of a batch does."""
    await connection.executemany(
        "INSERT INTO deliveries (id, scenario_id, event_id, channel, payload)"
        " VALUES ($1, $2, $3, $4, $5::text::jsonb) ON CONFLICT (id) DO NOTHING",
        [(row.id, scenario_id, row.event_id, row.channel, row.payload) for row in rows],
    )


async def stored(database: Database, channel: str = "ops") -> list[Record]:
    """Return the rows of a channel, in the order of sending."""
    async with database.connection() as connection:
        return await connection.fetch("SELECT * FROM deliveries WHERE channel = $1 ORDER BY number", channel)


async def states(database: Database, channel: str = "ops") -> list[tuple[int | None, str]]:
    """Return the event and the state of each delivery to a channel, in the order of sending."""
    return [(row["event_id"], row["state"]) for row in await stored(database, channel)]

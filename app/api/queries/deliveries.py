"""Deliveries of events to channels: list them, retry a dead one, and test a channel."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

import msgspec
from asyncpg import Record
from msgspec import Meta, Struct

from ...domain.event import EventKind
from ...postgres import Database
from ...predictions.delivery import DeliveryState, Told


class DeliveryInfo(Struct, frozen=True):
    """One event on its way to one channel. A test of a channel has no scenario and no event."""

    id: Annotated[UUID, Meta(description="also in the message, so that a receiver recognises a repetition")]
    scenario_id: UUID | None
    event_id: int | None
    kind: Annotated[EventKind | None, Meta(description="of the event")]
    channel: str
    state: Annotated[DeliveryState, Meta(description="dead: given up; POST …/retry sends it again")]
    attempts: int
    created_at: datetime
    next_attempt_at: Annotated[
        datetime | None, Meta(description="null if it is being sent now, or has ended")
    ]
    ended_at: datetime | None
    error: Annotated[str | None, Meta(description="why the last attempt failed")]


class DeliveryPage(Struct, frozen=True):
    """Deliveries, newest first. `next_cursor` is null if there are no more."""

    items: list[DeliveryInfo]
    next_cursor: str | None


class DeliveryFilter(Struct, frozen=True):
    """Which deliveries are listed: null means any."""

    channel: str | None = None
    state: DeliveryState | None = None
    scenario_id: UUID | None = None


class ChannelInfo(Struct, frozen=True):
    """A channel of the operator's file, without its address and secret."""

    name: str
    type: Annotated[str, Meta(description="webhook, mqtt or kafka")]
    waiting: Annotated[int, Meta(description="deliveries that have not been sent yet, at most about 10,000")]
    waiting_since: Annotated[datetime | None, Meta(description="of the oldest that waits")]
    dead: Annotated[int, Meta(description="events that were given up in the last 7 days, without tests")]
    last_sent_at: datetime | None
    error: Annotated[
        str | None,
        Meta(description="of the oldest that waits, or else of what was given up since something was sent"),
    ]


class ChannelList(Struct, frozen=True):
    """The channels of the file, in its order."""

    items: list[ChannelInfo]


_COLUMNS = """
    d.id, d.number, d.scenario_id, d.event_id, d.payload->'event'->>'kind' AS kind, d.channel, d.state,
    d.attempts, d.created_at, d.ended_at, d.error,
    CASE WHEN d.state = 'pending' AND (d.lease IS NULL OR d.due_at <= clock_timestamp())
         THEN d.due_at END AS next_attempt_at
"""
_NOT_DELETED = "NOT EXISTS (SELECT FROM checkpoints AS c WHERE c.scenario_id = d.scenario_id AND c.dropped)"


async def list_deliveries(
    predictions: Database, wanted: DeliveryFilter, before: int | None, limit: int
) -> tuple[list[DeliveryInfo], int | None]:
    """Return up to `limit` deliveries, newest first, and before which number the next page begins."""
    values = (wanted.channel, wanted.state, wanted.scenario_id, before)
    conditions = ("d.channel = $2", "d.state = $3", "d.scenario_id = $4", "d.number < $5")
    # Only the conditions that are asked for, so that each has its index.
    given = [condition for condition, value in zip(conditions, values, strict=True) if value is not None]
    types = "($2::text, $3::text, $4::uuid, $5::bigint) IS NOT DISTINCT FROM ($2, $3, $4, $5)"
    sql = (
        f"SELECT {_COLUMNS} FROM deliveries AS d"  # noqa: S608  texts of this module
        f" WHERE {' AND '.join([*given, _NOT_DELETED, types])} ORDER BY d.number DESC LIMIT $1"
    )
    async with predictions.connection() as connection:
        rows = await connection.fetch(sql, limit + 1, *values)
    more = rows[limit - 1]["number"] if len(rows) > limit else None
    return [_delivery(row) for row in rows[:limit]], more


async def find_delivery(predictions: Database, delivery_id: UUID) -> DeliveryInfo | None:
    """Return a delivery; None if there is none, or its scenario was deleted."""
    sql = f"SELECT {_COLUMNS} FROM deliveries AS d WHERE d.id = $1 AND {_NOT_DELETED}"  # noqa: S608
    async with predictions.connection() as connection:
        row = await connection.fetchrow(sql, delivery_id)
    return None if row is None else _delivery(row)


async def retry_delivery(predictions: Database, delivery_id: UUID) -> DeliveryInfo | None:
    """Let a dead delivery wait again, as if it were new. Returns None if it is not dead."""
    sql = f"""
        UPDATE deliveries AS d
           SET state = 'pending', attempts = 0, ended_at = NULL, waits_since = clock_timestamp(),
               due_at = clock_timestamp()
         WHERE d.id = $1 AND d.state = 'dead' AND d.event_id IS NOT NULL AND {_NOT_DELETED}
        RETURNING {_COLUMNS}
    """  # noqa: S608  texts of this module
    async with predictions.connection() as connection:
        row = await connection.fetchrow(sql, delivery_id)
    return None if row is None else _delivery(row)


async def add_test(predictions: Database, channel: str) -> UUID:
    """Add a delivery that tests a channel, and return its id."""
    test = uuid4()
    async with predictions.connection() as connection:
        await connection.execute(
            "INSERT INTO deliveries (id, scenario_id, channel, payload) VALUES ($1, $1, $2, $3)",
            test,
            channel,
            Told(),
        )
    return test


async def withdraw_test(predictions: Database, test: UUID) -> None:
    """Remove a test that nobody has begun to send."""
    async with predictions.connection() as connection:
        await connection.execute(
            "DELETE FROM deliveries WHERE id = $1 AND event_id IS NULL AND attempts = 0", test
        )


async def list_channels(predictions: Database, types: Sequence[tuple[str, str]]) -> list[ChannelInfo]:
    """Return the state of channels, which are given by name and type."""
    sql = """
        SELECT name, type, waiting.count AS waiting, oldest.waits_since, dead.count AS dead,
               sent.ended_at, coalesce(oldest.error, latest_dead.error) AS error
          FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (name, type, place)
         CROSS JOIN LATERAL (
            SELECT count(*) FROM deliveries WHERE channel = name AND state = 'pending') AS waiting
         CROSS JOIN LATERAL (
            SELECT count(event_id) FROM deliveries WHERE channel = name AND state = 'dead') AS dead
          LEFT JOIN LATERAL (
            SELECT waits_since, error FROM deliveries WHERE channel = name AND state = 'pending'
             ORDER BY number LIMIT 1) AS oldest ON true
          LEFT JOIN LATERAL (
            SELECT ended_at FROM deliveries WHERE channel = name AND state = 'sent'
             ORDER BY number DESC LIMIT 1) AS sent ON true
          LEFT JOIN LATERAL (
            SELECT error, ended_at FROM deliveries WHERE channel = name AND state = 'dead'
             ORDER BY number DESC LIMIT 1) AS latest_dead
            ON sent.ended_at IS NULL OR latest_dead.ended_at > sent.ended_at
         ORDER BY place
    """
    async with predictions.connection() as connection:
        rows = await connection.fetch(sql, [name for name, _ in types], [kind for _, kind in types])
    return [
        ChannelInfo(
            name=row["name"],
            type=row["type"],
            waiting=row["waiting"],
            waiting_since=row["waits_since"],
            dead=row["dead"],
            last_sent_at=row["ended_at"],
            error=row["error"],
        )
        for row in rows
    ]


def _delivery(row: Record) -> DeliveryInfo:
    is_test = row["event_id"] is None
    return msgspec.convert({**row, "scenario_id": None if is_test else row["scenario_id"]}, DeliveryInfo)

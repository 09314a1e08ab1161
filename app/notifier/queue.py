"""Claim deliveries that are due, and store how each attempt ended. Each function is one statement."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from ..postgres import Connection
from ..predictions.delivery import Told

_told = msgspec.json.Decoder(Told)


class FreeRoom(Struct, frozen=True):
    """How many more deliveries a channel may send at the same time. `only_tests`: it is paused otherwise."""

    channel: str
    room: int
    only_tests: bool = False


class Claimed(Struct, frozen=True):
    """A delivery that may be sent until its lease ends. `attempt` counts from 1."""

    id: UUID
    lease: UUID
    scenario_id: UUID
    event_id: int | None
    channel: str
    attempt: int
    created_at: datetime
    told: Told


async def claim(
    connection: Connection, free: Sequence[FreeRoom], lease: UUID, seconds: float
) -> list[Claimed]:
    """Claim for `seconds` what is due: of each scenario and channel only the oldest that is pending.

    A row that another notifier claims at the same moment is skipped. Nothing of a deleted scenario is sent.
    """
    rows = await connection.fetch(
        """
        WITH RECURSIVE asked AS (
            SELECT * FROM unnest($1::text[], $2::integer[], $3::boolean[]) AS a (channel, room, only_tests)
        ), heads AS (
            -- The oldest of each scenario, by one look into the index for each.
            SELECT asked.channel, first.scenario_id, first.number
              FROM asked CROSS JOIN LATERAL (
                SELECT scenario_id, number FROM deliveries AS d
                 WHERE d.channel = asked.channel AND state = 'pending'
                 ORDER BY scenario_id, number LIMIT 1) AS first
            UNION ALL
            SELECT heads.channel, next.scenario_id, next.number
              FROM heads CROSS JOIN LATERAL (
                SELECT scenario_id, number FROM deliveries AS d
                 WHERE d.channel = heads.channel AND state = 'pending' AND d.scenario_id > heads.scenario_id
                 ORDER BY scenario_id, number LIMIT 1) AS next
        ), due AS (
            SELECT chosen.id
              FROM asked CROSS JOIN LATERAL (
                SELECT d.id FROM heads JOIN deliveries AS d USING (number)
                 WHERE heads.channel = asked.channel AND d.state = 'pending'
                   AND d.due_at <= clock_timestamp() AND (d.event_id IS NULL OR NOT asked.only_tests)
                   AND NOT EXISTS (
                    SELECT FROM checkpoints AS c WHERE c.scenario_id = d.scenario_id AND c.dropped)
                 ORDER BY d.due_at, d.number LIMIT asked.room
                   FOR UPDATE OF d SKIP LOCKED) AS chosen
        )
        UPDATE deliveries AS d
           SET attempts = attempts + 1, lease = $4,
               due_at = clock_timestamp() + make_interval(secs => $5)
          FROM due WHERE d.id = due.id
        RETURNING d.id, d.scenario_id, d.event_id, d.channel, d.attempts, d.created_at, d.payload
        """,
        [each.channel for each in free],
        [each.room for each in free],
        [each.only_tests for each in free],
        lease,
        seconds,
    )
    return [
        Claimed(
            id=row["id"],
            lease=lease,
            scenario_id=row["scenario_id"],
            event_id=row["event_id"],
            channel=row["channel"],
            attempt=row["attempts"],
            created_at=row["created_at"],
            told=_told.decode(row["payload"]),
        )
        for row in rows
    ]


async def mark_sent(connection: Connection, claimed: Claimed) -> None:
    """Store that it was received. Nothing happens if the lease has ended and another notifier has claimed."""
    await connection.execute(
        "UPDATE deliveries SET state = 'sent', lease = NULL, error = NULL, ended_at = clock_timestamp()"
        " WHERE id = $1 AND lease = $2",
        claimed.id,
        claimed.lease,
    )


async def mark_failed(connection: Connection, claimed: Claimed, error: str, retry_after: float) -> None:
    """Store why an attempt failed; the next one is after `retry_after` seconds."""
    await connection.execute(
        "UPDATE deliveries SET lease = NULL, error = $3,"
        " due_at = clock_timestamp() + make_interval(secs => $4) WHERE id = $1 AND lease = $2",
        claimed.id,
        claimed.lease,
        error,
        retry_after,
    )


async def mark_dead(connection: Connection, claimed: Claimed, error: str) -> None:
    """Give it up."""
    await connection.execute(
        "UPDATE deliveries SET state = 'dead', lease = NULL, error = $3, ended_at = clock_timestamp()"
        " WHERE id = $1 AND lease = $2",
        claimed.id,
        claimed.lease,
        error,
    )


async def release(connection: Connection, claimed: Claimed) -> None:
    """Let another notifier send it at once."""
    await connection.execute(
        "UPDATE deliveries SET lease = NULL, due_at = clock_timestamp() WHERE id = $1 AND lease = $2",
        claimed.id,
        claimed.lease,
    )

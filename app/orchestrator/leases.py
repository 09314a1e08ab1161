"""Runner instances and the leases on runs, all judged by the database's clock alone."""

import heapq
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from ..messages import Instance, RunnerHeartbeat, RunReport
from ..postgres import Connection


class Ended(Struct, frozen=True):
    """A run whose lease has ended, and why."""

    scenario_id: UUID
    reason: str


async def clock(connection: Connection) -> datetime:
    """The database's time."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def note_instance(connection: Connection, beat: RunnerHeartbeat) -> Literal["new", "known", "replaced"]:
    """Note that a runner instance lives. One that is new takes its name over from older ones, which are
    replaced for good."""
    row = await connection.fetchrow(
        """
        WITH lives AS (
            INSERT INTO runners (runner_id, boot_id, slots) VALUES ($1, $2, $3)
            ON CONFLICT (runner_id, boot_id)
            DO UPDATE SET heartbeat_at = clock_timestamp(), slots = excluded.slots
            RETURNING xmax = 0 AS is_new, superseded
        ), replaced AS (
            UPDATE runners SET superseded = true
             WHERE runner_id = $1 AND boot_id <> $2 AND NOT superseded AND (SELECT is_new FROM lives)
        )
        SELECT is_new, superseded FROM lives
        """,
        beat.instance.runner_id,
        beat.instance.boot_id,
        beat.slots,
    )
    assert row is not None  # noqa: S101 - an upsert returns its row
    if row["is_new"]:
        return "new"
    return "replaced" if row["superseded"] else "known"


async def note_leaving(connection: Connection, instance: Instance) -> None:
    """Hand nothing more to this instance, also where its first heartbeat is still to be heard."""
    await connection.execute(
        "INSERT INTO runners (runner_id, boot_id, slots, left_at) VALUES ($1, $2, 0, now())"
        " ON CONFLICT (runner_id, boot_id) DO UPDATE SET left_at = now() WHERE runners.left_at IS NULL",
        instance.runner_id,
        instance.boot_id,
    )


async def supersede_all(connection: Connection) -> None:
    """Hand nothing to any instance known so far: for a process that knows that they are gone."""
    await connection.execute("UPDATE runners SET superseded = true WHERE NOT superseded")


async def renew(
    connection: Connection, instance: Instance, runs: Sequence[RunReport], stop_again_after: float
) -> list[RunReport]:
    """Renew the leases of these runs and note how far they are.

    Returns the runs that this instance should let go: those that are not its own, and those told to stop
    more than `stop_again_after` seconds ago.
    """
    rows = await connection.fetch(
        """
        UPDATE scenarios AS s
           SET lease_renewed_at = clock_timestamp(),
               next_frame = greatest(s.next_frame, r.next_frame),
               progressed = s.progressed OR r.next_frame > s.next_frame
          FROM unnest($3::uuid[], $4::integer[], $5::bigint[]) AS r (id, attempt, next_frame)
         WHERE s.id = r.id AND s.attempt = r.attempt AND s.runner_id = $1 AND s.boot_id = $2
        RETURNING s.id, s.attempt, s.state = 'in_shutdown_processing'
                        AND s.updated_at < now() - make_interval(secs => $6) AS overdue
        """,
        instance.runner_id,
        instance.boot_id,
        [run.scenario_id for run in runs],
        [run.attempt for run in runs],
        [run.next_frame for run in runs],
        stop_again_after,
    )
    held = {(row["id"], row["attempt"]) for row in rows if not row["overdue"]}
    return [run for run in runs if (run.scenario_id, run.attempt) not in held]


_LAST_CHANCES_FIRST = "ORDER BY s.progressed, (s.spec->'restart'->>'max_restarts')::integer - s.failures"


async def next_ended(
    connection: Connection, timeout: float, grace: float, heard_since: datetime, heard_until: datetime
) -> Ended | None:
    """A run whose lease has ended, its scenario locked until the transaction ends: the one with the fewest
    restarts left first.

    A lease ends when nothing was heard of the run for `timeout` seconds (`grace` where its runner said that
    it leaves) in which something would have been, from `heard_since` to `heard_until`, or at once when a
    newer instance has its runner's name.
    """
    row = await connection.fetchrow(
        f"""
        SELECT s.id, s.runner_id,
               CASE WHEN r.superseded THEN 'was started again'
                    WHEN r.left_at IS NOT NULL THEN 'left'
                    ELSE 'was not heard of for ' || $1::real || ' s' END AS how
          FROM scenarios s LEFT JOIN runners r USING (runner_id, boot_id)
         WHERE s.runner_id IS NOT NULL
           AND (r.superseded
                OR greatest(s.lease_renewed_at, $3) < $4::timestamptz
                   - make_interval(secs => CASE WHEN r.left_at IS NULL THEN $1 ELSE $2 END))
         {_LAST_CHANCES_FIRST} LIMIT 1 FOR UPDATE OF s SKIP LOCKED
        """,  # noqa: S608 - a constant
        timeout,
        grace,
        heard_since,
        heard_until,
    )
    return None if row is None else Ended(row["id"], f"runner {row['runner_id']} {row['how']}")


async def next_held(connection: Connection) -> Ended | None:
    """The run that is held with the fewest restarts left, locked: for a process that knows that whoever held
    it is gone."""
    scenario_id = await connection.fetchval(
        "SELECT s.id FROM scenarios s WHERE s.runner_id IS NOT NULL"  # noqa: S608 - a constant
        f" {_LAST_CHANCES_FIRST} LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    return None if scenario_id is None else Ended(scenario_id, "the service was started again")


async def next_to_tell(connection: Connection) -> UUID | None:
    """A scenario whose stop is still to be passed on, locked."""
    scenario_id: UUID | None = await connection.fetchval(
        "SELECT id FROM scenarios WHERE runner_id IS NOT NULL AND state = 'init_shutdown'"
        " LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    return scenario_id


class Due(Struct, frozen=True):
    """What a leader has to do: pass stops on, and hand out runs where there is a runner for them."""

    stops: bool
    hand_outs: bool


async def look(connection: Connection) -> Due:
    """What there is to do, without locking anything."""
    row = await connection.fetchrow(
        """
        SELECT EXISTS (SELECT FROM scenarios WHERE runner_id IS NOT NULL AND state = 'init_shutdown'),
               EXISTS (SELECT FROM scenarios WHERE state = 'init_startup' AND not_before <= clock_timestamp())
        """
    )
    assert row is not None  # noqa: S101 - it selects from nothing
    return Due(*row)


async def free_slots(connection: Connection, grace: float, limit: int) -> list[Instance]:
    """Up to `limit` free slots: the instance of each, in the order in which they are to be taken. Each is of
    the instance that then has the largest share of its slots free. Nothing is locked.

    One that was not heard of for `grace` seconds has none: it may be dead, long before its leases end.
    Free slots are slots less the runs assigned here: heartbeats know only what has already reached a runner.
    """
    rows = await connection.fetch(
        """
        SELECT r.runner_id, r.boot_id, r.slots, count(s.id) AS used
          FROM runners r LEFT JOIN scenarios s USING (runner_id, boot_id)
         WHERE NOT r.superseded AND r.left_at IS NULL
           AND r.heartbeat_at > clock_timestamp() - make_interval(secs => $1)
         GROUP BY r.runner_id, r.boot_id, r.slots
        HAVING count(s.id) < r.slots
        """,
        grace,
    )
    return _spread(rows, limit)


async def lock_slots(connection: Connection, free: Sequence[Instance]) -> list[Instance]:
    """As many of these free slots as are still free, their instances' rows locked."""
    return _spread(await _lock_instances(connection, set(free)), len(free)) if free else []


def _spread(rows: Sequence[Record], limit: int) -> list[Instance]:
    """The instances to which `limit` runs go, of those that these rows of slots and used slots tell about."""
    free = [
        (used / row["slots"], row["runner_id"], row["boot_id"])
        for row in rows
        for used in range(row["used"], row["slots"])
    ]
    return [Instance(runner_id, boot_id) for _, runner_id, boot_id in heapq.nsmallest(limit, free)]


async def _lock_instances(connection: Connection, instances: Iterable[Instance]) -> list[Record]:
    # Counted by a statement after the lock: one that waited for another leader sees what that one assigned.
    chosen = sorted(instances, key=lambda each: (each.runner_id, each.boot_id))
    names = [each.runner_id for each in chosen], [each.boot_id for each in chosen]
    await connection.execute(
        """
        SELECT FROM runners WHERE (runner_id, boot_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
         ORDER BY runner_id, boot_id FOR UPDATE
        """,
        *names,
    )
    return await connection.fetch(
        """
        SELECT r.runner_id, r.boot_id, r.slots, count(s.id) AS used
          FROM runners r LEFT JOIN scenarios s USING (runner_id, boot_id)
         WHERE (r.runner_id, r.boot_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
           AND NOT r.superseded AND r.left_at IS NULL
         GROUP BY r.runner_id, r.boot_id, r.slots
        """,
        *names,
    )

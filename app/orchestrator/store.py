"""The scenarios database: rows, history, outbox and answers, one function a query.

Writers lock the scenario's row before they draw an outbox id, so ids are in order for each scenario.
"""

from typing import Literal
from uuid import UUID

import msgspec
from asyncpg import Record

from app.messages import Instance, Message, Topic
from app.orchestrator.lifecycle import Decision, Scenario, State
from app.postgres import Connection
from app.scenario import Media, ScenarioSpec

CHANNEL = "scenario_changed"
"""Notified soon after scenarios moved, and not by the transactions that move them: one that notifies holds a
lock of the whole server while it commits, so that none would share its wait for the disk with another."""

Answer = Literal["done", "conflict", "unknown", "mismatch"]

_spec = msgspec.json.Decoder(ScenarioSpec)
_media = msgspec.json.Decoder(Media)
_SELECT = (
    "SELECT id, spec, state, outcome, error, attempt, runner_id, boot_id, failures, next_frame, progressed,"
    " media, deleted_at IS NOT NULL AS deleted FROM scenarios"
)


async def insert(connection: Connection, created: Decision, command_id: UUID | None = None) -> bool:
    """Store a new scenario with the first line of its history, and the answer to the command, if it was one.

    False where its id was ever used: then nothing is stored.
    """
    is_new: bool = await connection.fetchval(
        """
        WITH created AS (
            INSERT INTO scenarios (id, spec, state, attempt) VALUES ($1, $2, $3, $4)
            ON CONFLICT (id) DO NOTHING RETURNING id
        ), told AS (
            INSERT INTO scenario_events (scenario_id, to_state, attempt, reason)
            SELECT id, $3, $4, $5 FROM created
        ), answered AS (
            INSERT INTO handled_commands (command_id, answer) SELECT $6, 'done' FROM created
            WHERE $6::uuid IS NOT NULL ON CONFLICT DO NOTHING
        )
        SELECT EXISTS (SELECT FROM created)
        """,
        created.scenario.id,
        created.scenario.spec,
        created.scenario.state,
        created.scenario.attempt,
        created.steps[0].reason,
        command_id,
    )
    return is_new


async def lock(connection: Connection, scenario_id: UUID) -> Scenario | None:
    """The scenario, locked until the transaction ends."""
    row = await connection.fetchrow(f"{_SELECT} WHERE id = $1 FOR UPDATE", scenario_id)
    return None if row is None else _scenario(row)


async def lock_waiting(connection: Connection, limit: int) -> list[Scenario]:
    """The scenarios that have waited longest of those that may be handed out now, locked."""
    rows = await connection.fetch(
        f"{_SELECT} WHERE state = 'init_startup' AND not_before <= clock_timestamp()"
        " ORDER BY waiting_since, id LIMIT $1 FOR UPDATE SKIP LOCKED",
        limit,
    )
    return [_scenario(row) for row in rows]


def _scenario(row: Record) -> Scenario:
    return Scenario(
        id=row["id"],
        spec=_spec.decode(row["spec"]),
        state=State(row["state"]),
        outcome=row["outcome"],
        error=row["error"],
        attempt=row["attempt"],
        holder=Instance(row["runner_id"], row["boot_id"]) if row["runner_id"] is not None else None,
        failures=row["failures"],
        next_frame=row["next_frame"],
        progressed=row["progressed"],
        media=_media.decode(row["media"]) if row["media"] is not None else None,
        deleted=row["deleted"],
    )


async def save(connection: Connection, before: Scenario, decision: Decision) -> None:
    """Write what was decided about a locked scenario, if anything: row, history and outbox at once."""
    after = decision.scenario
    if after == before:
        return
    holder = after.holder
    who = holder or before.holder
    await connection.execute(
        """
        WITH saved AS (
            UPDATE scenarios
               SET state = $2, outcome = $3, error = $4, attempt = $5, runner_id = $6, boot_id = $7,
                   lease_renewed_at = CASE WHEN $6::text IS NULL THEN NULL
                                           WHEN runner_id IS NULL THEN clock_timestamp()
                                           ELSE lease_renewed_at END,
                   failures = $8, next_frame = $9, progressed = $10, media = $11,
                   not_before = now() + make_interval(secs => $12),
                   waiting_since = CASE WHEN state = 'inactive' AND $2 = 'init_startup' THEN now()
                                        ELSE waiting_since END,
                   deleted_at = CASE WHEN $13 THEN coalesce(deleted_at, now()) END,
                   updated_at = now()
             WHERE id = $1
        ), told AS (
            INSERT INTO scenario_events (scenario_id, from_state, to_state, attempt, runner_id, reason)
            SELECT $1, before, after, $5, $14, reason
              FROM unnest($15::text[], $16::text[], $17::text[])
                   WITH ORDINALITY AS step (before, after, reason, n)
             ORDER BY n
        ), sent AS (
            INSERT INTO outbox (topic, key, message)
            SELECT topic, $1::uuid::text, message
              FROM unnest($18::text[], $19::jsonb[]) WITH ORDINALITY AS message (topic, message, n)
             ORDER BY n
        )
        SELECT
        """,
        after.id,
        after.state,
        after.outcome,
        after.error,
        after.attempt,
        holder.runner_id if holder else None,
        holder.boot_id if holder else None,
        after.failures,
        after.next_frame,
        after.progressed,
        after.media,
        after.delay,
        after.deleted,
        who.runner_id if who else None,
        [step.before for step in decision.steps],
        [step.after for step in decision.steps],
        [step.reason for step in decision.steps],
        [topic.name for topic, _ in decision.send],
        [message for _, message in decision.send],
    )


async def tell(connection: Connection, scenario_id: UUID, topic: Topic, message: Message) -> None:
    """Put one message about a locked scenario into the outbox."""
    await connection.execute(
        "INSERT INTO outbox (topic, key, message) VALUES ($1, $2, $3)", topic.name, str(scenario_id), message
    )


async def announce(connection: Connection, sender: str) -> None:
    """Tell whoever listens that scenarios moved. `sender` is told, too, so that it need not hear itself."""
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, sender)


async def was_handled(connection: Connection, command_id: UUID) -> bool:
    """Whether a command was handled before. Ask with its scenario locked."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM handled_commands WHERE command_id = $1)", command_id
        )
    )


async def record_answer(connection: Connection, command_id: UUID, answer: Answer, detail: str) -> None:
    """Note that a command was handled, and what is answered to whoever sent it."""
    await connection.execute(
        "INSERT INTO handled_commands (command_id, answer, detail) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        command_id,
        answer,
        detail,
    )


async def prune(connection: Connection, most: int = 5000) -> bool:
    """Forget up to `most` answers that no redelivery can ask for any more, and runner instances long gone.

    Returns whether there may be more.
    """
    await connection.execute("DELETE FROM runners WHERE heartbeat_at < now() - interval '1 day'")
    done = await connection.execute(
        """
        DELETE FROM handled_commands WHERE command_id = ANY (ARRAY(
            SELECT command_id FROM handled_commands WHERE handled_at < now() - interval '8 days'
             ORDER BY handled_at LIMIT $1))
        """,
        most,
    )
    return done == f"DELETE {most}"

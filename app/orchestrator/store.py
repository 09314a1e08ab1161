"""The scenarios database: rows, history, outbox and answers, one function per query.

Writers lock the scenario's row before they take an outbox id, so the ids of one scenario are in order.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from asyncpg import Record
from msgspec import Raw

from ..domain.states import State
from ..domain.stored_spec import summarize_spec
from ..messages import Instance, Message, Topic
from ..postgres import Connection
from ..scenarios.command_answer import CommandAnswer
from ..scenarios.json_columns import decode_media
from .lifecycle import Decision, ScenarioRecord

_SELECT = (
    "SELECT id, spec || coalesce(dated, '{}') AS spec, needs, state, outcome, error, attempt, runner_id,"
    " boot_id, failures, next_frame, progressed, media, deleted_at IS NOT NULL AS deleted,"
    " age(xmin) < 0 AS is_ahead FROM scenarios"
)


async def insert(
    connection: Connection,
    created: Sequence[tuple[Decision, UUID | None]],
    batch_id: UUID | None = None,
    tags: Sequence[str] = (),
) -> set[UUID]:
    """Store new scenarios with the first entry of their history. Returns the ids that were new.

    For a command id, the answer "done" is stored too. If a scenario's id was ever used, nothing is stored.
    Those of a batch are created, and dispatched, in the order of `created`.
    """
    rows = await connection.fetch(
        """
        WITH asked AS (
            SELECT *, CASE WHEN $8::uuid IS NULL THEN now()
                           ELSE clock_timestamp() + n * interval '1 microsecond' END AS at
              FROM unnest($1::uuid[], $2::jsonb[], $3::text[], $4::integer[], $5::text[], $6::uuid[],
                          $7::text[])
                   WITH ORDINALITY AS asked (id, spec, state, attempt, reason, command_id, needs, n)
        ), created AS (
            INSERT INTO scenarios (id, spec, state, attempt, needs, batch_id, tags, created_at, waiting_since)
            SELECT id, spec, state, attempt, string_to_array(needs, ','), $8, $9::text[], at, at
              FROM asked ORDER BY id
            ON CONFLICT (id) DO NOTHING RETURNING id
        ), told AS (
            INSERT INTO scenario_events (scenario_id, to_state, attempt, reason)
            SELECT id, state, attempt, reason FROM created JOIN asked USING (id)
        ), answered AS (
            INSERT INTO handled_commands (command_id, answer)
            SELECT command_id, 'done' FROM created JOIN asked USING (id) WHERE command_id IS NOT NULL
            ON CONFLICT DO NOTHING
        )
        SELECT id FROM created
        """,
        [each.scenario.id for each, _ in created],
        [each.scenario.spec for each, _ in created],
        [each.scenario.state for each, _ in created],
        [each.scenario.attempt for each, _ in created],
        [each.steps[0].reason for each, _ in created],
        [command_id for _, command_id in created],
        [",".join(sorted(each.scenario.needs)) for each, _ in created],
        batch_id,
        list(tags),
    )
    return {row["id"] for row in rows}


async def lock(connection: Connection, scenario_id: UUID) -> ScenarioRecord | None:
    """Return the scenario, locked until the transaction ends."""
    row = await connection.fetchrow(f"{_SELECT} WHERE id = $1 FOR UPDATE", scenario_id)
    return None if row is None else _record(row)


async def lock_available(connection: Connection, scenario_ids: Sequence[UUID]) -> list[ScenarioRecord]:
    """Return those of the scenarios that no other transaction has locked, locked until this one ends."""
    rows = await connection.fetch(f"{_SELECT} WHERE id = ANY($1) FOR UPDATE SKIP LOCKED", scenario_ids)
    return _in_order(rows)


async def lock_waiting(
    connection: Connection,
    limit: int,
    features: Collection[str],
    locked: Collection[UUID] = (),
    *,
    of_batches: bool = False,
) -> list[ScenarioRecord]:
    """Return scenarios that may be dispatched, longest wait first, locked until the transaction ends.

    Only those that need no other features, and none of those that this transaction has `locked` already.
    Either those of batches or the others.
    """
    rows = await connection.fetch(
        f"{_SELECT} WHERE state = 'init_startup' AND not_before <= clock_timestamp()"
        f" AND batch_id IS {'NOT ' if of_batches else ''}NULL"
        " AND needs <@ $2::text[] AND id <> ALL ($3::uuid[])"
        " ORDER BY waiting_since, id LIMIT $1 FOR UPDATE SKIP LOCKED",
        limit,
        list(features),
        list(locked),
    )
    return _in_order(rows)


def _in_order(rows: Sequence[Record]) -> list[ScenarioRecord]:
    """Return the scenarios, without those that a later transaction changed before they were locked here.

    The first lock gives a transaction its place in the order in which event streams tell changes.
    """
    return [_record(row) for row in rows if not row["is_ahead"]]


def _record(row: Record) -> ScenarioRecord:
    return ScenarioRecord(
        id=row["id"],
        spec=Raw(row["spec"].encode()),
        restart=summarize_spec(row["spec"]).restart,
        needs=frozenset(row["needs"]),
        state=State(row["state"]),
        outcome=row["outcome"],
        error=row["error"],
        attempt=row["attempt"],
        holder=Instance(row["runner_id"], row["boot_id"]) if row["runner_id"] is not None else None,
        failures=row["failures"],
        next_frame=row["next_frame"],
        progressed=row["progressed"],
        media=decode_media(row["media"]),
        is_deleted=row["deleted"],
    )


async def save(connection: Connection, decided: Sequence[tuple[ScenarioRecord, Decision]]) -> None:
    """Store the decisions about locked scenarios: rows, history and outbox in one statement."""
    changed = [(before, decision) for before, decision in decided if decision.scenario != before]
    if not changed:
        return
    after = [decision.scenario for _, decision in changed]
    steps = [
        (decision.scenario, decision.scenario.holder or before.holder, step)
        for before, decision in changed
        for step in decision.steps
    ]
    sent = [(decision.scenario.id, *each) for _, decision in changed for each in decision.send]
    await connection.execute(
        """
        WITH saved AS (
            UPDATE scenarios AS s
               SET state = new.state, outcome = new.outcome, error = new.error, attempt = new.attempt,
                   runner_id = new.runner_id, boot_id = new.boot_id,
                   lease_renewed_at = CASE WHEN new.runner_id IS NULL THEN NULL
                                           WHEN s.runner_id IS NULL THEN clock_timestamp()
                                           ELSE s.lease_renewed_at END,
                   failures = new.failures, next_frame = new.next_frame, progressed = new.progressed,
                   media = new.media, not_before = now() + make_interval(secs => new.delay),
                   waiting_since = CASE WHEN s.state = 'inactive' AND new.state = 'init_startup' THEN now()
                                        ELSE s.waiting_since END,
                   deleted_at = CASE WHEN new.deleted THEN coalesce(s.deleted_at, now()) END,
                   updated_at = now()
              FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[],
                          $7::uuid[], $8::integer[], $9::bigint[], $10::boolean[], $11::jsonb[],
                          $12::double precision[], $13::boolean[])
                   AS new (id, state, outcome, error, attempt, runner_id,
                           boot_id, failures, next_frame, progressed, media,
                           delay, deleted)
             WHERE s.id = new.id
        ), told AS (
            INSERT INTO scenario_events (scenario_id, from_state, to_state, attempt, runner_id, reason)
            SELECT id, before, after, attempt, runner_id, reason
              FROM unnest($14::uuid[], $15::text[], $16::text[], $17::integer[], $18::text[], $19::text[])
                   WITH ORDINALITY AS step (id, before, after, attempt, runner_id, reason, n)
             ORDER BY n
        ), sent AS (
            INSERT INTO outbox (topic, key, message)
            SELECT topic, id::text, message
              FROM unnest($20::uuid[], $21::text[], $22::jsonb[])
                   WITH ORDINALITY AS message (id, topic, message, n)
             ORDER BY n
        )
        SELECT
        """,
        [each.id for each in after],
        [each.state for each in after],
        [each.outcome for each in after],
        [each.error for each in after],
        [each.attempt for each in after],
        [each.holder.runner_id if each.holder else None for each in after],
        [each.holder.boot_id if each.holder else None for each in after],
        [each.failures for each in after],
        [each.next_frame for each in after],
        [each.progressed for each in after],
        [each.media for each in after],
        [each.delay for each in after],
        [each.is_deleted for each in after],
        [scenario.id for scenario, _, _ in steps],
        [step.before for _, _, step in steps],
        [step.after for _, _, step in steps],
        [scenario.attempt for scenario, _, _ in steps],
        [who.runner_id if who else None for _, who, _ in steps],
        [step.reason for _, _, step in steps],
        [scenario_id for scenario_id, _, _ in sent],
        [topic.name for _, topic, _ in sent],
        [message for _, _, message in sent],
    )


async def send(connection: Connection, scenario_id: UUID, topic: Topic, message: Message) -> None:
    """Put a message about a locked scenario into the outbox."""
    await connection.execute(
        "INSERT INTO outbox (topic, key, message) VALUES ($1, $2, $3)", topic.name, str(scenario_id), message
    )


async def was_handled(connection: Connection, command_id: UUID) -> bool:
    """Return whether a command was handled before. Its scenario must be locked."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM handled_commands WHERE command_id = $1)", command_id
        )
    )


async def record_answer(connection: Connection, command_id: UUID, answer: CommandAnswer, detail: str) -> None:
    """Store that a command was handled, and its answer."""
    await connection.execute(
        "INSERT INTO handled_commands (command_id, answer, detail) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        command_id,
        answer,
        detail,
    )

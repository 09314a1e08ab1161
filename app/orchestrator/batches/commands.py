"""Commands about batches. Each runs in the transaction that also stores the answer."""

from uuid import UUID

import msgspec
from asyncpg import Record

from ...domain.batch import BatchState
from ...messages import BatchCommand, CreateBatch, DeleteBatch, StartBatch, StopBatch, UpdateBatch
from ...postgres import Connection
from ...scenarios.command_answer import CommandAnswer
from .. import store

Answer = tuple[CommandAnswer, str]


async def carry_out_for_batch(connection: Connection, command: BatchCommand) -> Answer | None:
    """Return the answer and its detail, or None if the command was handled before."""
    batch = await lock_batch(connection, command.batch_id)
    if await store.was_handled(connection, command.command_id):
        return None
    if isinstance(command, CreateBatch):
        return await _create(connection, batch, command)
    if batch is None:
        return "unknown", "There is no such batch."
    if batch["deleted_at"] is not None:
        return "unknown", "The batch was deleted."
    if batch["state"] == BatchState.DELETING:
        return "done" if isinstance(command, DeleteBatch) else "conflict", "The batch is being deleted."
    match command:
        case UpdateBatch():
            return await _update(connection, batch, command)
        case StopBatch():
            return await _stop(connection, batch)
        case StartBatch():
            return await _start(connection, batch, command)
        case DeleteBatch():
            return await _delete(connection, batch, command)


async def lock_batch(connection: Connection, batch_id: UUID) -> Record | None:
    """Return the batch's row, locked until the transaction ends, or None if there is none."""
    return await connection.fetchrow("SELECT * FROM batches WHERE id = $1 FOR UPDATE", batch_id)


async def _create(connection: Connection, existing: Record | None, command: CreateBatch) -> Answer:
    if existing is None:
        done = await connection.execute(
            """
            INSERT INTO batches (id, spec, needs, name, tags, watch, at_once)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING
            """,
            command.batch_id,
            command.spec,
            list(command.needs),
            command.name,
            list(command.tags),
            command.watch,
            command.at_once,
        )
        if done == "INSERT 0 1":
            return "done", ""
        existing = await lock_batch(connection, command.batch_id)  # created by another command at this moment
        assert existing is not None  # noqa: S101 - rows are never deleted
    if existing["deleted_at"] is not None or existing["state"] == BatchState.DELETING:
        return "conflict", "This id belonged to a deleted batch: choose another."
    if msgspec.json.decode(existing["spec"]) != msgspec.json.decode(command.spec):
        return "mismatch", "This id belongs to a batch with another specification: choose another."
    return "done", "The batch existed already."


async def _update(connection: Connection, batch: Record, command: UpdateBatch) -> Answer:
    watch = batch["watch"] if command.watch is None else command.watch
    is_watched_again = watch and batch["state"] == BatchState.DONE
    await connection.execute(
        """
        UPDATE batches SET name = coalesce($2, name), tags = coalesce($3, tags), watch = $4,
                           at_once = coalesce($5, at_once), state = $6, updated_at = now()
         WHERE id = $1
        """,
        batch["id"],
        command.name,
        None if command.tags is None else list(command.tags),
        watch,
        command.at_once,
        BatchState.RUNNING if is_watched_again else batch["state"],
    )
    return "done", ""


async def _stop(connection: Connection, batch: Record) -> Answer:
    if batch["state"] == BatchState.RUNNING:
        await _move(connection, batch, BatchState.STOPPING)
    return "done", ""


async def _start(connection: Connection, batch: Record, command: StartBatch) -> Answer:
    if batch["state"] == BatchState.STOPPING:
        return "conflict", "It is still stopping: wait until its state is stopped, then start it."
    await connection.execute(
        """
        UPDATE batch_files SET state = 'ready'
         WHERE batch_id = $1 AND state = 'taken' AND scenario_id IN (
               SELECT id FROM scenarios AS s
                WHERE batch_id = $1 AND deleted_at IS NULL AND state = 'inactive' AND outcome = ANY ($2)
                  AND NOT EXISTS (SELECT FROM scenarios AS n
                                   WHERE n.replaces = s.id AND n.deleted_at IS NULL))
        """,
        batch["id"],
        ["stopped", "failed"] if command.failed else ["stopped"],
    )
    await _move(connection, batch, BatchState.RUNNING)
    return "done", ""


async def _delete(connection: Connection, batch: Record, command: DeleteBatch) -> Answer:
    has_ended = batch["state"] in (BatchState.STOPPED, BatchState.DONE) and not await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM scenarios
                        WHERE batch_id = $1 AND deleted_at IS NULL AND state <> 'inactive')
        """,
        batch["id"],
    )
    if not has_ended and not command.stop:
        return "conflict", "It is not stopped: stop it and wait, or delete it with `?stop=true`."
    await _move(connection, batch, BatchState.DELETING)
    return "done", ""


async def _move(connection: Connection, batch: Record, state: BatchState) -> None:
    await connection.execute(
        "UPDATE batches SET state = $2, updated_at = now() WHERE id = $1", batch["id"], state
    )

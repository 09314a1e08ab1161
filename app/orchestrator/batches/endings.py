"""Stop and delete batches as one: their scenarios, and then the batch itself."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from asyncpg import Record

from ...domain.states import State
from ...messages import DeleteScenario, StopScenario
from ...postgres import Connection, Database
from .. import store
from ..decisions import apply_each

_AT_ONCE = 50  # scenarios that one transaction stops or deletes, at most

_STOPPABLE = (State.INIT_STARTUP, State.IN_STARTUP_PROCESSING, State.ACTIVE)


async def stop_scenarios(connection: Connection, batch_id: UUID) -> bool:
    """Stop some scenarios of a batch that is stopping or deleted. Returns whether some were stopped.

    The scenarios are locked first: the first lock gives a transaction its place in the order in which event
    streams tell changes.
    """
    rows = await _scenarios_of(connection, batch_id, [str(state) for state in _STOPPABLE])
    locked = await store.lock_available(connection, [row["id"] for row in rows])
    if not await _has_state(connection, batch_id, ["stopping", "deleting"]):
        return False
    await apply_each(
        connection, [(each, StopScenario(uuid4(), each.id)) for each in locked if each.state in _STOPPABLE]
    )
    return bool(locked)


async def delete_scenarios(connection: Connection, batch_id: UUID) -> bool:
    """Delete some scenarios of a batch that is being deleted. Returns whether some were deleted."""
    rows = await _scenarios_of(connection, batch_id, [str(State.INACTIVE)])
    locked = await store.lock_available(connection, [row["id"] for row in rows])
    if not await _has_state(connection, batch_id, ["deleting"]):
        return False
    inactive = [each for each in locked if each.state is State.INACTIVE and not each.is_deleted]
    await apply_each(connection, [(each, DeleteScenario(uuid4(), each.id)) for each in inactive])
    return bool(inactive)


async def settle_ending(database: Database, batch_id: UUID) -> None:
    """Note that a batch has stopped, or is deleted, once none of its scenarios is left to stop or delete."""
    async with database.transaction() as connection:
        await connection.execute(
            """
            UPDATE batches AS b SET state = 'stopped', updated_at = now()
             WHERE id = $1 AND state = 'stopping'
               AND NOT EXISTS (SELECT FROM scenarios
                                WHERE batch_id = b.id AND deleted_at IS NULL AND state <> 'inactive')
            """,
            batch_id,
        )
        deleted = await connection.fetchval(
            """
            UPDATE batches AS b SET deleted_at = now(), updated_at = now()
             WHERE id = $1 AND state = 'deleting' AND deleted_at IS NULL
               AND NOT EXISTS (SELECT FROM scenarios WHERE batch_id = b.id AND deleted_at IS NULL)
            RETURNING true
            """,
            batch_id,
        )
        if deleted:
            await connection.execute("DELETE FROM batch_files WHERE batch_id = $1", batch_id)


async def _scenarios_of(connection: Connection, batch_id: UUID, states: Sequence[str]) -> list[Record]:
    return await connection.fetch(
        "SELECT id FROM scenarios WHERE batch_id = $1 AND deleted_at IS NULL AND state = ANY ($2) LIMIT $3",
        batch_id,
        states,
        _AT_ONCE,
    )


async def _has_state(connection: Connection, batch_id: UUID, states: Sequence[str]) -> bool:
    """Return whether a batch has one of these states, which it keeps until the transaction ends."""
    row = await connection.fetchrow("SELECT state FROM batches WHERE id = $1 FOR SHARE", batch_id)
    return row is not None and row["state"] in states

"""A witness in the predictions database: triggers note who takes the fence, and who writes while who has it.

A row does not tell which attempt stored it, because all of them store the same. So each write names its
writer
to the database first (`declare_writers`); what it is answered, the witness does not look at.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import asyncpg
from msgspec import Struct

from app import postgres
from app.predictions.checkpoint import Batch, Fence

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | postgres.Connection
else:
    Connection = postgres.Connection

Write = Callable[[postgres.Connection, Fence, Batch], Awaitable[bool]]

_SCHEMA = """
CREATE TABLE witnessed_claims (
    n bigint GENERATED ALWAYS AS IDENTITY, scenario_id uuid, attempt integer, run_token uuid,
    next_frame bigint, finished boolean
);
CREATE TABLE witnessed_writes (
    n bigint GENERATED ALWAYS AS IDENTITY, scenario_id uuid, attempt integer, run_token uuid,
    late boolean, frames bigint
);
CREATE FUNCTION note_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.run_token <> OLD.run_token THEN
        INSERT INTO witnessed_claims (scenario_id, attempt, run_token, next_frame, finished)
        VALUES (NEW.scenario_id, NEW.attempt, NEW.run_token, NEW.next_frame, NEW.finished);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION note_write(stored bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    writer text[] := string_to_array(current_setting('witness.writer', true), ' ');
BEGIN
    INSERT INTO witnessed_writes (scenario_id, attempt, run_token, late, frames)
    SELECT scenario_id, writer[2]::integer, writer[3]::uuid, run_token <> writer[3]::uuid, stored
      FROM checkpoints WHERE scenario_id = writer[1]::uuid;
END $$;
CREATE FUNCTION note_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('witness.writer', true) <> '' AND NOT EXISTS (SELECT FROM moved) THEN
        PERFORM note_write(0);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION note_stored() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM stored) THEN
        PERFORM note_write((SELECT count(*) FROM stored));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER claimed AFTER INSERT OR UPDATE ON checkpoints FOR EACH ROW EXECUTE FUNCTION note_claim();
CREATE TRIGGER moved AFTER UPDATE ON checkpoints REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION note_moved();
CREATE TRIGGER stored AFTER INSERT ON predictions REFERENCING NEW TABLE AS stored
    FOR EACH STATEMENT EXECUTE FUNCTION note_stored();
"""


class Seen(Struct):
    """`zombies` are runs that wrote after another had taken the fence; `late` are those writes of theirs, and
    `stale` the rows that these left."""

    zombies: int
    late: int
    stale: int

    def __str__(self) -> str:
        return f"{self.stale:,} stale rows of {self.late:,} late writes"


async def watch(predictions: "Connection") -> None:
    """Begin to watch a predictions database."""
    await predictions.execute(_SCHEMA)


async def ask(predictions: "Connection") -> Seen:
    """What was seen so far."""
    row = await predictions.fetchrow(
        "SELECT count(DISTINCT run_token), count(*), coalesce(sum(frames), 0)::bigint"
        "  FROM witnessed_writes WHERE late"
    )
    assert row is not None
    return Seen(*row)


def declare_writers(write: Write) -> Write:
    """`store.write`, but that it names its writer to the witness first."""

    async def declared(connection: postgres.Connection, fence: Fence, batch: Batch) -> bool:
        writer = f"{fence.scenario_id} {fence.attempt} {fence.run_token}"
        await connection.execute("SELECT set_config('witness.writer', $1, false)", writer)
        return await write(connection, fence, batch)

    return declared

"""Claim and write as a run does, each with a connection of its own."""

from contextlib import suppress
from uuid import UUID, uuid4

from app.postgres import Database
from app.predictions.checkpoint import Batch, Checkpoint, Fence, FencedError
from app.runner.storing import checkpoints, claims

SCENARIO = uuid4()


def new_fence(attempt: int = 1, scenario_id: UUID = SCENARIO) -> Fence:
    return Fence(scenario_id, attempt, uuid4())


async def claim(database: Database, fence: Fence) -> Checkpoint | None:
    """The checkpoint, None if the fence could not be taken."""
    async with database.connection() as connection:
        with suppress(FencedError):
            return await claims.claim(connection, fence)
    return None


async def write(database: Database, fence: Fence, batch: Batch) -> bool:
    async with database.connection() as connection:
        return await checkpoints.write(connection, fence, batch)


async def frames(database: Database, scenario_id: UUID = SCENARIO) -> list[int]:
    """The frames that are stored."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT frame FROM predictions WHERE scenario_id = $1 ORDER BY frame", scenario_id
        )
    return [row["frame"] for row in rows]

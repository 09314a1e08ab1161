"""Whether a database answers."""

from anyio import move_on_after

from ...postgres import TRANSIENT, Database


async def answers_within(database: Database, seconds: float) -> bool:
    """Return whether the database answers the simplest query in time."""
    with move_on_after(seconds):
        try:
            async with database.connection() as connection:
                await connection.execute("SELECT 1")
        except TRANSIENT:
            return False
        return True
    return False

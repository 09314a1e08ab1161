"""Timelines of rows that tests insert."""

from uuid import UUID

from app.postgres import Database
from app.runner.storing.backfill import count_stored


async def fill_timeline(predictions: Database, scenario_id: UUID) -> None:
    """Count all that is stored."""
    counted = 1
    while counted:
        async with predictions.transaction() as connection:
            counted = await count_stored(connection, scenario_id, 1000)

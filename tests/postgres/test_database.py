"""Pools over a real server."""

from app.postgres import Database


async def test_a_value_goes_in_and_comes_out(scenarios: Database, predictions: Database) -> None:
    async with scenarios.transaction() as connection:
        assert await connection.fetchval("SELECT count(*) FROM scenarios") == 0
    async with predictions.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM checkpoints") == 0

"""Pruning: old answers go, a few at a time."""

from uuid import uuid4

from app.orchestrator import store
from app.orchestrator.pruner import prune
from app.postgres import Database


async def test_old_answers_are_deleted_a_few_at_a_time(scenarios: Database) -> None:
    async with scenarios.connection() as connection:
        for _ in range(3):
            await store.record_answer(connection, uuid4(), "done", "")
        await connection.execute("UPDATE handled_commands SET handled_at = now() - interval '9 days'")
        await store.record_answer(connection, uuid4(), "done", "")
        assert await prune(connection, limit=2)
        assert await connection.fetchval("SELECT count(*) FROM handled_commands") == 2
        assert not await prune(connection, limit=2)
        assert await connection.fetchval("SELECT count(*) FROM handled_commands") == 1

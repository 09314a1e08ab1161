"""The orchestrator's pool: statements are planned once, and read by index, however small tables are."""

from contextlib import AsyncExitStack

from app.messages import RunFinished
from app.postgres import open_planned_once
from tests.orchestrator.conftest import World

CONNECTIONS = 10


async def test_no_statement_of_a_lifecycle_reads_all_scenarios(world: World) -> None:
    async with open_planned_once(world.dsn) as database:
        through = World(world.dsn, database, world.bus)
        async with through.orchestrator(), through.runner() as runner:
            scenario_id = await through.create()
            await runner.started(scenario_id)
            await runner.report(RunFinished(scenario_id, 1, 10), ends=True)
            await through.reaches(scenario_id, "inactive")
        seen = 0
        async with AsyncExitStack() as stack:
            for _ in range(CONNECTIONS):
                connection = await stack.enter_async_context(database.connection())
                for known in await connection.fetch(
                    "SELECT name, statement, cardinality(parameter_types) AS count, custom_plans"
                    " FROM pg_prepared_statements"
                    " WHERE statement ~ 'scenarios' AND statement !~ 'pg_prepared'"
                ):
                    seen += 1
                    assert known["custom_plans"] == 0, known["statement"]
                    nulls = f"({', '.join(['NULL'] * known['count'])})" if known["count"] else ""
                    plan = await connection.fetch(f'EXPLAIN EXECUTE "{known["name"]}"{nulls}')
                    assert not any("Seq Scan on scenarios" in line for (line,) in plan), known["statement"]
        assert seen >= 5

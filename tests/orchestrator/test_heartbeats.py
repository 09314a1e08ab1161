"""Heartbeats: which runs a runner must let go, and which instance its name belongs to."""

from uuid import uuid4

from app.messages import Instance, RunFailed, RunnerHeartbeat, RunReport, StopRun, StopScenario
from app.orchestrator.heartbeats import note_instance, renew
from app.orchestrator.pruner import prune
from app.postgres import Database
from tests.orchestrator.conftest import World
from tests.support.waiting import until


async def test_an_older_attempt_is_orphaned_even_if_its_runner_has_the_newer_one(world: World) -> None:
    async with world.orchestrator(), world.runner("a") as a:
        scenario_id = await world.create()
        await a.started(scenario_id)
        await a.report(RunFailed(scenario_id, 1, 10, error="it broke", retryable=True), ends=True)
        await a.started(scenario_id, attempt=2)
        older, newer = RunReport(scenario_id, 1, 10), RunReport(scenario_id, 2, 10)
        async with world.database.connection() as connection:
            assert await renew(connection, a.instance, (older, newer), 30.0) == [older]


async def test_a_runner_that_reports_an_orphaned_run_is_told_to_stop_it(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        orphaned = uuid4()
        runner.runs[orphaned, 7] = 0
        await until(lambda: StopRun(runner.instance, orphaned, 7) in runner.commands)


async def test_a_stop_that_was_lost_is_sent_again(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        await world.send(StopScenario(uuid4(), scenario_id))
        stop = StopRun(runner.instance, scenario_id, 1)
        await until(lambda: runner.commands.count(stop) >= 2)


async def test_a_replaced_instance_is_still_known_as_replaced_when_it_wakes_days_later(
    scenarios: Database,
) -> None:
    older, newer = (RunnerHeartbeat(Instance("runner", uuid4()), 4, ()) for _ in range(2))
    async with scenarios.connection() as connection:
        assert [await note_instance(connection, beat) for beat in (older, newer)] == ["new", "new"]
        await connection.execute(
            "UPDATE runners SET heartbeat_at = now() - interval '2 days' WHERE boot_id = $1",
            older.instance.boot_id,
        )
        await prune(connection)
        assert await note_instance(connection, older) == "replaced"
        assert await note_instance(connection, newer) == "known"


async def test_what_computes_on_a_runner_is_stored_with_each_heartbeat(scenarios: Database) -> None:
    instance = Instance("runner", uuid4())
    async with scenarios.connection() as connection:
        for backend, precision in ((None, None), ("onnxruntime", "fp32"), ("openvino:CPU", "bf16")):
            beat = RunnerHeartbeat(instance, 4, (), (), backend, precision)
            await note_instance(connection, beat)
            row = await connection.fetchrow("SELECT backend, precision FROM runners")
            assert row is not None
            assert tuple(row) == (backend, precision)

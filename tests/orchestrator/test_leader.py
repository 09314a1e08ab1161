"""The duties of the leader together: whole lives of scenarios."""

from functools import partial
from uuid import uuid4

from anyio import create_task_group

from app.bus.memory import open_memory_bus
from app.domain.media import Media
from app.domain.stored_spec import encode_spec
from app.messages import (
    RESULTS,
    CreateScenario,
    DeleteScenario,
    DropResults,
    Message,
    RunFinished,
    RunStarted,
    RunStopped,
    StopScenario,
    orchestrator_commands,
    results_commands,
)
from app.orchestrator.leases import LeaseTiming
from tests.orchestrator.conftest import SPEC, World
from tests.support.waiting import until

MEDIA = Media(640, 360)


async def test_a_scenario_goes_through_its_life(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        command = await runner.started(scenario_id)
        assert command.instance == runner.instance
        await runner.report(RunStarted(scenario_id, 1, 0, media=MEDIA))
        await world.reaches(scenario_id, "active")
        await runner.report(RunFinished(scenario_id, 1, 100), ends=True)
        await world.reaches(scenario_id, "inactive")
        row = await world.row(scenario_id)
        assert (row["outcome"], row["runner_id"], row["next_frame"]) == ("completed", None, 100)
        assert await world.states(scenario_id) == [
            "init_startup",
            "in_startup_processing",
            "active",
            "inactive",
        ]


async def test_results_of_a_deleted_scenario_are_dropped(world: World) -> None:
    dropped: list[Message] = []

    async def drop(message: Message) -> None:
        dropped.append(message)

    async with world.orchestrator():
        scenario_id = await world.create()
        await world.send(StopScenario(uuid4(), scenario_id))
        await world.send(DeleteScenario(uuid4(), scenario_id))
        async with create_task_group() as group:
            group.start_soon(partial(world.bus.consume, results_commands, drop, group=RESULTS))
            await until(lambda: dropped == [DropResults(scenario_id)])
            group.cancel_scope.cancel()


async def test_results_that_cannot_be_dropped_yet_hold_up_no_runner(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        deleted = await world.create()
        await runner.started(deleted)
        await world.send(StopScenario(uuid4(), deleted))
        await runner.report(RunStopped(deleted, 1, 10), ends=True)
        assert await world.send(DeleteScenario(uuid4(), deleted)) == "done"
        # No consumer drops results here: publishing that command waits.
        await runner.started(await world.create())


async def test_a_leader_hears_at_once_what_another_orchestrator_handled(world: World) -> None:
    rare = LeaseTiming(heartbeat_interval=60.0, heartbeat_timeout=600.0)
    async with world.orchestrator(timing=rare), world.runner() as runner, open_memory_bus() as elsewhere:
        first = await world.create()
        await runner.started(first)
        async with world.orchestrator(elsewhere, timing=rare):
            second = uuid4()
            create = CreateScenario(uuid4(), second, encode_spec(SPEC))
            await elsewhere.publish(orchestrator_commands, create, str(second))
            await runner.started(second)

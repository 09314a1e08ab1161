"""Commands: each has one effect and one answer."""

from uuid import uuid4

from msgspec.structs import replace

from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    DeleteScenario,
    StartScenario,
    StopScenario,
)
from tests.orchestrator.conftest import SPEC, World


async def test_a_scenario_is_created_once_however_often_its_creation_is_requested(world: World) -> None:
    async with world.orchestrator():
        command = CreateScenario(uuid4(), uuid4(), encode_spec(SPEC))
        assert await world.send(command) == "done"
        assert await world.send(command) == "done"
        assert await world.send(replace(command, command_id=uuid4())) == "done"
        assert await world.states(command.scenario_id) == ["init_startup"]


async def test_an_id_of_a_scenario_with_another_specification_is_refused(world: World) -> None:
    async with world.orchestrator():
        scenario_id = await world.create()
        other = CreateScenario(uuid4(), scenario_id, encode_spec(replace(SPEC, source="other.mp4")))
        assert await world.send(other) == "mismatch"


async def test_commands_to_a_scenario_that_never_existed_are_unknown(world: World) -> None:
    async with world.orchestrator():
        for command in (StartScenario, StopScenario, DeleteScenario):
            assert await world.send(command(uuid4(), uuid4())) == "unknown"


async def test_a_command_delivered_twice_has_no_second_effect(world: World) -> None:
    async with world.orchestrator():
        scenario_id = await world.create()
        stop = StopScenario(uuid4(), scenario_id)
        assert await world.send(stop) == "done"
        assert await world.send(StartScenario(uuid4(), scenario_id)) == "done"
        assert await world.send(stop) == "done"
        row = await world.row(scenario_id)
        assert (row["state"], row["attempt"]) == ("init_startup", 2)


async def test_a_deleted_scenario_stays_deleted_and_its_id_is_never_used_again(world: World) -> None:
    async with world.orchestrator():
        scenario_id = await world.create()
        stop = StopScenario(uuid4(), scenario_id)
        assert await world.send(stop) == "done"
        assert await world.send(DeleteScenario(uuid4(), scenario_id)) == "done"
        before = await world.row(scenario_id)
        assert before["deleted_at"] is not None
        assert await world.send(stop) == "done"
        assert await world.send(StartScenario(uuid4(), scenario_id)) == "unknown"
        assert await world.send(CreateScenario(uuid4(), scenario_id, encode_spec(SPEC))) == "conflict"
        assert await world.row(scenario_id) == before


async def test_a_waiting_scenario_stops_through_both_states(world: World) -> None:
    async with world.orchestrator():
        scenario_id = await world.create()
        assert await world.send(StopScenario(uuid4(), scenario_id)) == "done"
        assert await world.states(scenario_id) == ["init_startup", "init_shutdown", "inactive"]
        assert (await world.row(scenario_id))["outcome"] == "stopped"


async def test_deleting_and_starting_are_refused_while_it_runs(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        assert await world.send(DeleteScenario(uuid4(), scenario_id)) == "conflict"
        assert await world.send(StopScenario(uuid4(), scenario_id)) == "done"
        assert await world.send(StartScenario(uuid4(), scenario_id)) == "conflict"

"""Messages are not signed: whoever can use the topics is trusted like the service (SECURITY.md)."""

from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    DeleteScenario,
    RunEvent,
    RunFailed,
    RunFinished,
    RunReleased,
    StopScenario,
    runner_events,
    topic_of,
)
from tests.orchestrator.conftest import SPEC, World
from tests.support.waiting import until


async def test_who_can_write_creates_stops_and_deletes_scenarios_without_a_key(world: World) -> None:
    async with world.orchestrator():
        scenario_id = await world.create()
        assert await world.send(StopScenario(uuid4(), scenario_id)) == "done"
        await until(lambda: ended(world, scenario_id, "stopped"))
        assert await world.send(DeleteScenario(uuid4(), scenario_id)) == "done"


@pytest.mark.parametrize("outcome", ["completed", "failed"])
async def test_who_can_write_ends_a_scenario_with_any_text(world: World, outcome: str) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        forged: RunEvent = RunFinished(scenario_id, 1, 7)
        if outcome == "failed":
            forged = RunFailed(scenario_id, 1, 0, error="call +1 555 0100", retryable=False)
        await world.bus.publish(runner_events, forged, str(scenario_id))
        await until(lambda: ended(world, scenario_id, outcome))
        assert (await world.row(scenario_id))["error"] == (
            "call +1 555 0100" if outcome == "failed" else None
        )


async def ended(world: World, scenario_id: UUID, outcome: str) -> bool:
    row = await world.row(scenario_id)
    return bool(row["state"] == "inactive" and row["outcome"] == outcome)


async def test_who_can_write_takes_a_run_from_its_runner(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        forged = RunReleased(scenario_id, 1, 0, instance=runner.instance)
        await world.bus.publish(runner_events, forged, str(scenario_id))
        await until(lambda: world.lost_its_run(scenario_id))


def test_who_can_read_sees_passwords() -> None:
    source = "rtsp://user:s3cret-of-a-camera@10.0.0.7/"
    command = CreateScenario(uuid4(), uuid4(), encode_spec(replace(SPEC, source=source)))
    assert b"s3cret-of-a-camera" in topic_of(command).encode(command)

"""docs/recipes/one-process-to-fleet.md"""

from pathlib import Path

from tests.support.fleet import fleet
from tests.support.recipes import blocks_of
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until

CAMERA = "test:testsrc2?size=320x180&rate=10&live=true"


def roles_of_processes() -> list[str]:
    """Return the roles that the recipe starts, each in a process of its own."""
    lines = blocks_of("one-process-to-fleet", "sh")[0].splitlines()
    variables = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
    assert len({each["VA_PORT"] for each in variables}) == len(lines)
    assert {(each["VA_BUS"], each["VA_KAFKA_BOOTSTRAP_SERVERS"]) for each in variables} == {
        ("kafka", "127.0.0.1:9092")
    }
    return [each["VA_ROLES"] for each in variables]


async def test_a_scenario_goes_on_in_the_fleet_and_after_its_runner_is_killed(
    tmp_path: Path, media: Path, kafka: str
) -> None:
    api, *others = roles_of_processes()
    assert api == "api"
    async with running(tmp_path, data_dir=tmp_path / "data") as alone:
        scenario_id = await alone.create(CAMERA, {"type": "mock"})
        await until(lambda: has_stored(alone, scenario_id, 1))
    members = {f"process{number}": roles for number, roles in enumerate(others)}
    async with fleet(tmp_path, media, kafka, api=api, **members) as service:

        async def where(than: str | None = None) -> str | None:
            """Return the runner that has the scenario, if it is active on another one than that."""
            scenario = await service.api.get(scenario_id)
            return scenario["runner_id"] if scenario["runner_id"] not in (None, than) else None

        first = await until(where, 60)
        assert first is not None
        before = (await service.api.get(scenario_id))["progress"]["frames_sampled"]
        await until(lambda: has_stored(service.api, scenario_id, before + 1), 60)
        [holder] = [each for each in service.members.values() if first.endswith(f":{each.port}")]
        holder.kill()
        assert await until(lambda: where(first), 60)


async def has_stored(service: ServiceProcess, scenario_id: str, frames: int) -> bool:
    return bool((await service.get(scenario_id))["progress"]["frames_sampled"] >= frames)

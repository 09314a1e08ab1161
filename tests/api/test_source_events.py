"""What streams tell of live sources."""

from uuid import UUID

from app.api import ApiDeps, ApiOptions
from app.api.change_stream import ChangeStream
from app.postgres import Database
from tests.api.conftest import in_background
from tests.api.event_reader import reading
from tests.support.rows import add_checkpoint, add_scenario, add_source_change
from tests.support.waiting import until


async def change(predictions: Database, scenario_id: UUID, number: int) -> None:
    """Store a change of a source as a run does."""
    await add_source_change(predictions, scenario_id, number, reason=f"change {number}")
    async with predictions.connection() as connection:
        await connection.execute("UPDATE checkpoints SET source_changes = $1", number)


async def progress_is_read(stream: ChangeStream) -> None:
    """Wait until progress was read that was stored before the call."""
    seen = stream._progress_count
    await until(lambda: stream._progress_count >= seen + 2)


async def test_changes_of_live_sources_are_sent_once(
    url: str, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id)
    await change(predictions, scenario_id, 1)
    async with reading(url) as reader, reading(url) as other:
        await reader.next("progress")
        await change(predictions, scenario_id, 2)
        for each in (reader, other):
            lost = await each.next("source")
            assert (lost["scenario_id"], lost["number"], lost["state"], lost["reason"]) == (
                str(scenario_id),
                2,
                "reconnecting",
                "change 2",
            )
        await change(predictions, scenario_id, 3)
        await change(predictions, scenario_id, 4)
        assert [(await reader.next("source"))["number"] for _ in range(2)] == [3, 4]


async def test_what_happened_last_to_the_source_of_a_scenario_that_ends_is_sent(
    url: str, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id)
    async with reading(url) as reader:
        await reader.next("progress")
        await change(predictions, scenario_id, 1)
        async with scenarios.connection() as connection:
            await connection.execute(
                "UPDATE scenarios SET state = 'inactive', outcome = 'stopped', runner_id = NULL,"
                " boot_id = NULL, lease_renewed_at = NULL"
            )
        assert (await reader.next("source"))["number"] == 1


async def test_a_stream_that_is_read_slowly_gets_each_change_of_a_source(
    deps: ApiDeps, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id)
    stream = ChangeStream(deps, ApiOptions(version="1.2.3"))
    async with in_background(stream.run()):
        events = await stream.open(None)
        while b"event: progress" not in await anext(events):
            pass
        for number in (1, 2):
            await change(predictions, scenario_id, number)
            await progress_is_read(stream)
        received = await anext(events)
        await events.aclose()
    assert [received.count(b"change %d" % number) for number in (1, 2)] == [1, 1]

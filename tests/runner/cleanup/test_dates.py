"""The date of a recording is changed after its events were stored."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from app.domain.pins import FileIdentity, Pins
from app.messages import DateResults
from app.postgres import Connection, Database
from app.predictions.checkpoint import BatchWrite, Fence
from app.runner.cleanup.dates import change_date, redate_events
from app.runner.storing import checkpoints as store
from tests.support.batches import batch
from tests.support.checkpoints import SCENARIO, claim, new_fence
from tests.support.rows import add_checkpoint, add_found

OLD, NEW = (datetime(2026, 1, day, 9, 30, tzinfo=UTC) for day in (1, 31))


async def add_dated(predictions: Database, count: int = 5, **columns: object) -> UUID:
    """Add a recording with events at each second from OLD on."""
    scenario_id = uuid4()
    pins = Pins(FileIdentity(size=7), recorded_at=OLD.timestamp())
    await add_checkpoint(predictions, scenario_id, pins=pins, **columns)
    for number in range(1, count + 1):
        at = datetime.fromtimestamp(OLD.timestamp() + number, UTC)
        await add_found(predictions, scenario_id, number, at=at)
    return scenario_id


async def dates_of(connection: Connection, scenario_id: UUID) -> list[datetime | None]:
    rows = await connection.fetch(
        "SELECT at FROM events WHERE scenario_id = $1 ORDER BY event_id", scenario_id
    )
    return [row["at"] for row in rows]


@pytest.mark.parametrize("began", [NEW, None])
async def test_events_follow_the_date_of_their_recording_in_steps(
    predictions: Database, began: datetime | None
) -> None:
    scenario_id, other = await add_dated(predictions), await add_dated(predictions)
    unix_time = None if began is None else began.timestamp()
    async with predictions.connection() as connection:
        before = await dates_of(connection, other)
        await change_date(connection, DateResults(scenario_id, 2, unix_time))
        steps = 0
        while await redate_events(connection, 2):
            steps += 1
        assert steps == 3
        wanted = [began and datetime.fromtimestamp(began.timestamp() + n, UTC) for n in range(1, 6)]
        assert await dates_of(connection, scenario_id) == wanted
        assert await dates_of(connection, other) == before


async def test_a_change_that_comes_late_or_twice_undoes_no_other(predictions: Database) -> None:
    scenario_id = await add_dated(predictions, 1)
    async with predictions.connection() as connection:
        for number, began in ((5, NEW), (4, OLD), (5, OLD)):
            await change_date(connection, DateResults(scenario_id, number, began.timestamp()))
        while await redate_events(connection, 10):
            pass
        [at] = await dates_of(connection, scenario_id)
    assert at == datetime.fromtimestamp(NEW.timestamp() + 1, UTC)


async def test_live_and_deleted_scenarios_keep_what_they_have(predictions: Database) -> None:
    ids = [await add_dated(predictions, 1, **{name: True}) for name in ("live", "dropped")]
    async with predictions.connection() as connection:
        before = [await dates_of(connection, each) for each in ids]
        for each in ids:
            await change_date(connection, DateResults(each, 1, NEW.timestamp()))
        assert not await redate_events(connection, 10)
        assert [await dates_of(connection, each) for each in ids] == before


@pytest.mark.parametrize("others", [0, 1])
async def test_a_run_that_began_before_the_change_brings_no_old_date_back(
    predictions: Database, others: int
) -> None:
    fences = [new_fence(), *(Fence(uuid4(), 1, uuid4()) for _ in range(others))]
    old = Pins(FileIdentity(size=7), recorded_at=OLD.timestamp())
    for fence in fences:
        await claim(predictions, fence)
    async with predictions.connection() as connection:
        await change_date(connection, DateResults(SCENARIO, 1, NEW.timestamp()))
        writes = [BatchWrite(each, replace(batch(0, 5), pins=old)) for each in fences]
        assert set(await store.write_batches(connection, writes)) == {"stored"}
    kept = [await claim(predictions, replace(each, attempt=2)) for each in fences]
    new = replace(old, recorded_at=NEW.timestamp())
    assert [each and each.pins for each in kept] == [new, old][: 1 + others]

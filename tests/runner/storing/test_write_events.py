"""Batches with events: stored with their frames, once, and only under the fence."""

from uuid import uuid4

import pytest
from anyio import create_task_group
from msgspec.structs import replace

from app.domain.analysis import Notify
from app.domain.event import Carried, Event
from app.domain.pins import Pins
from app.postgres import Database
from app.predictions.checkpoint import AnalysisUpdate, Batch, BatchWrite, Fence, OpenEvent, SavedAnalysis
from app.predictions.events import decode_event
from app.predictions.evidence import NewPicture
from app.runner.analysing.deliveries import new_deliveries
from app.runner.cleanup import purge
from app.runner.metrics import PICTURE_BYTES, PICTURES, count
from app.runner.storing import checkpoints
from app.runner.storing.shared_statements import SharedStatements
from tests.support.batches import batch
from tests.support.checkpoints import claim, new_fence, write
from tests.support.databases import blocks_another
from tests.support.deliveries import event as alert
from tests.support.waiting import until

STAY = Event(1, "object", "open", "car", 7, None, None, 3, 0.1, 9, 0.3, 5, 0.2, (1.0, 2.0, 3.0, 4.0), 0.5)


def with_events(plain: Batch, *events: Event) -> Batch:
    update = AnalysisUpdate(
        Carried(8, 1 + max(event.event_id for event in events), {"visitor": 1.5}),
        events,
        tuple(open_event(event) for event in events if event.state != "ended"),
        SavedAnalysis(plain.end, b"state"),
    )
    return replace(plain, analysis=update)


def open_event(event: Event) -> OpenEvent:
    return OpenEvent(event.event_id, event.end_frame, event.end_time)


async def stored(database: Database, fence: Fence) -> list[Event]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM current_events WHERE scenario_id = $1 ORDER BY event_id", fence.scenario_id
        )
    return [decode_event(row) for row in rows]


async def write_all(database: Database, *writes: tuple[Fence, Batch]) -> list[str]:
    async with database.connection() as connection:
        return list(await checkpoints.write_batches(connection, [BatchWrite(*each) for each in writes]))


async def claimed(database: Database) -> Fence:
    fence = new_fence(1, uuid4())
    await claim(database, fence)
    return fence


@pytest.mark.parametrize("others", [0, 2])
async def test_events_and_the_state_of_analysis_are_stored_with_the_batch(
    predictions: Database, others: int
) -> None:
    fence = await claimed(predictions)
    more = [(await claimed(predictions), batch(0, 3)) for _ in range(others)]
    assert await write_all(predictions, (fence, with_events(batch(0, 10), STAY)), *more) == ["stored"] * (
        1 + others
    )
    assert await stored(predictions, fence) == [STAY]
    longer = replace(STAY, end_frame=19, end_time=0.6, best_frame=15, best_confidence=0.75)
    visit = replace(longer, event_id=2, kind="zone", name="yard", start_frame=12, state="ended")
    more = [(await claimed(predictions), batch(0, 3)) for _ in range(others)]
    await write_all(predictions, *more, (fence, with_events(batch(10, 20), longer, visit)))
    assert await stored(predictions, fence) == [longer, visit]
    after = await claim(predictions, replace(fence, attempt=2))
    assert after is not None
    assert (after.carried, after.open_events) == (
        Carried(8, 3, {"visitor": 1.5}),
        (open_event(longer),),
    )
    assert after.analysis == SavedAnalysis(20, b"state")


@pytest.mark.parametrize("others", [0, 1])
async def test_events_have_dates_if_the_recordings_or_its_clock_is_known(
    predictions: Database, others: int
) -> None:
    dated = replace(with_events(batch(0, 10), STAY), pins=Pins(recorded_at=1769851800.0))
    live = replace(with_events(batch(0, 10), replace(STAY, start_time=0.25)), is_live=True)
    for plain in (dated, live, with_events(batch(0, 10), STAY)):
        more = [(await claimed(predictions), plain) for _ in range(others)]
        assert set(await write_all(predictions, (await claimed(predictions), plain), *more)) == {"stored"}
    async with predictions.connection() as connection:
        dates = await connection.fetch(
            "SELECT extract(epoch FROM at)::float8 AS at, count(*) FROM events GROUP BY at ORDER BY at"
        )
    assert list(map(tuple, dates)) == [(0.25, 1 + others), (1769851800.1, 1 + others), (None, 1 + others)]


@pytest.mark.parametrize("others", [0, 1])
async def test_a_batch_without_analysis_leaves_it_as_it_is(predictions: Database, others: int) -> None:
    fence = await claimed(predictions)
    await write(predictions, fence, with_events(batch(0, 10), STAY))
    more = [(await claimed(predictions), with_events(batch(0, 3), STAY)) for _ in range(others)]
    assert set(await write_all(predictions, (fence, batch(10, 20)), *more)) == {"stored"}
    after = await claim(predictions, replace(fence, attempt=2))
    assert after is not None
    assert (after.next_frame, after.carried.next_event_id, after.open_events) == (20, 2, (open_event(STAY),))
    assert after.analysis == SavedAnalysis(10, b"state")


@pytest.mark.parametrize("others", [0, 1])
async def test_an_event_that_only_goes_on_has_its_end_in_the_checkpoint(
    predictions: Database, others: int
) -> None:
    fence = await claimed(predictions)
    crossing, others_of_it = alert(2), [replace(STAY, event_id=number) for number in (3, 4, 5)]
    await write(predictions, fence, with_events(batch(0, 10), STAY, crossing, *others_of_it))
    ends = {1: (19, 0.1 + 0.2), 3: (12, 0.35), 4: (19, 0.1 + 0.2), 5: (11, 0.31)}
    open_events = tuple(OpenEvent(number, *end) for number, end in ends.items())
    later = AnalysisUpdate(Carried(8, 6), (), open_events)
    more = [(await claimed(predictions), with_events(batch(0, 3), STAY)) for _ in range(others)]
    await write_all(predictions, (fence, replace(batch(10, 20), analysis=later)), *more)
    now = [replace(STAY, event_id=number, end_frame=at, end_time=time) for number, (at, time) in ends.items()]
    assert await stored(predictions, fence) == [now[0], crossing, *now[1:]]
    async with predictions.connection() as connection:
        rows = await connection.fetch(
            "SELECT DISTINCT end_frame, end_time FROM events WHERE scenario_id = $1 AND state = 'open'",
            fence.scenario_id,
        )
    assert [tuple(row) for row in rows] == [(STAY.end_frame, STAY.end_time)]
    claimed_again = await claim(predictions, replace(fence, attempt=2))
    assert claimed_again is not None
    assert {one.event_id: (one.end_frame, one.end_time) for one in claimed_again.open_events} == ends
    fence = replace(fence, attempt=2)
    gone = replace(STAY, state="ended", end_frame=25, end_time=0.9)
    await write(predictions, fence, with_events(batch(20, 30), gone))
    assert await stored(predictions, fence) == [gone, crossing, *others_of_it]


async def test_an_event_that_ended_does_not_change_again(predictions: Database) -> None:
    fence = await claimed(predictions)
    ended = replace(STAY, state="ended")
    await write(predictions, fence, with_events(batch(0, 10), ended))
    await write(predictions, fence, with_events(batch(10, 20), replace(STAY, end_frame=19, label="bus")))
    assert await stored(predictions, fence) == [ended]


async def test_an_interrupted_event_goes_on(predictions: Database) -> None:
    fence = await claimed(predictions)
    await write(predictions, fence, with_events(batch(0, 10), replace(STAY, state="interrupted")))
    longer = replace(STAY, end_frame=19)
    await write(predictions, fence, with_events(batch(10, 20), longer))
    assert await stored(predictions, fence) == [longer]


@pytest.mark.parametrize("others", [0, 1])
async def test_nothing_is_stored_of_a_batch_that_is_fenced_off_or_deleted(
    predictions: Database, others: int
) -> None:
    fenced, deleted = await claimed(predictions), await claimed(predictions)
    await claim(predictions, replace(fenced, attempt=2, run_token=uuid4()))
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, deleted.scenario_id)
    for fence in (fenced, deleted):
        more = [(await claimed(predictions), with_events(batch(0, 3), STAY)) for _ in range(others)]
        results = await write_all(predictions, (fence, with_events(batch(0, 10), STAY)), *more)
        assert results == ["fenced_off"] + ["stored"] * others
        assert await stored(predictions, fence) == []


async def test_a_batch_that_is_repeated_is_stored_once(predictions: Database) -> None:
    """As after a lost acknowledgement."""
    fence = await claimed(predictions)
    told = with_deliveries(fence, with_events(batch(0, 10), STAY, alert(2)))
    for _ in range(2):
        assert await write_all(predictions, (fence, told)) == ["stored"]
    assert [event.event_id for event in await stored(predictions, fence)] == [1, 2]
    assert await deliveries(predictions, fence) == [2]


async def test_deliveries_are_stored_in_the_order_of_the_events(predictions: Database) -> None:
    one, other = await claimed(predictions), await claimed(predictions)
    events = [alert(number) for number in range(1, 30)]
    await write_all(
        predictions,
        (one, with_deliveries(one, with_events(batch(0, 10), *events))),
        (other, with_deliveries(other, with_events(batch(0, 10), *events[:3]))),
    )
    assert await deliveries(predictions, one) == list(range(1, 30))
    assert await deliveries(predictions, other) == [1, 2, 3]


def with_deliveries(fence: Fence, plain: Batch) -> Batch:
    assert plain.analysis is not None
    found = new_deliveries(
        Notify(("ops",), recordings=True), fence.scenario_id, "", plain.analysis.events, unix_time=None
    )
    return replace(plain, analysis=replace(plain.analysis, deliveries=tuple(found)))


async def deliveries(database: Database, fence: Fence) -> list[int]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT event_id FROM deliveries WHERE scenario_id = $1 ORDER BY number", fence.scenario_id
        )
    return [row["event_id"] for row in rows]


@pytest.mark.parametrize("is_live", [False, True])
async def test_an_event_of_a_live_source_has_its_wall_clock(predictions: Database, is_live: bool) -> None:
    fence = await claimed(predictions)
    first = replace(STAY, start_time=1_700_000_000.25, end_time=1_700_000_001.0)
    await write(predictions, fence, replace(with_events(batch(0, 10), first), is_live=is_live))
    async with predictions.connection() as connection:
        at = await connection.fetchval(
            "SELECT extract(epoch FROM at)::float8 FROM events WHERE scenario_id = $1", fence.scenario_id
        )
    assert at == (1_700_000_000.25 if is_live else None)


def picture(event_id: int, frame: int, score: float, jpeg: bytes = b"jpeg") -> NewPicture:
    return NewPicture(event_id, frame, 1_700_000_000.5 + frame, score, (64, 36), (1.0, 2.0, 3.5, 4.0), jpeg)


def with_pictures(plain: Batch, *pictures: NewPicture) -> Batch:
    assert plain.analysis is not None
    return replace(plain, analysis=replace(plain.analysis, pictures=pictures))


async def stored_pictures(database: Database, fence: Fence) -> dict[int, tuple[int, bytes]]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM event_pictures JOIN evidence USING (scenario_id, frame) WHERE scenario_id = $1",
            fence.scenario_id,
        )
    assert all(list(row["box"]) == [1.0, 2.0, 3.5, 4.0] for row in rows)
    assert all(row["time"] == 1_700_000_000.5 + row["frame"] for row in rows)
    assert all((row["width"], row["height"]) == (64, 36) for row in rows)
    assert all(row["bytes"] == len(row["picture"]) for row in rows)
    return {row["event_id"]: (row["frame"], row["picture"]) for row in rows}


async def test_pictures_are_stored_with_their_events_and_replaced_by_clearly_better_ones(
    predictions: Database,
) -> None:
    fence = await claimed(predictions)
    shared = bytes(range(256)) * 400
    first = with_events(batch(0, 10), STAY, alert(2), replace(STAY, event_id=3))
    told = with_pictures(first, picture(1, 5, 10.0, shared), picture(2, 5, 9.0, shared), picture(3, 6, 8.0))
    for _ in range(2):  # as after a lost acknowledgement
        assert await write_all(predictions, (fence, told)) == ["stored"]
    expected = {1: (5, shared), 2: (5, shared), 3: (6, b"jpeg")}
    assert await stored_pictures(predictions, fence) == expected
    later = with_events(batch(10, 20), STAY, replace(STAY, event_id=3))
    better = with_pictures(later, picture(1, 14, 15.0, b"no"), picture(3, 15, 12.1, b"new"))
    assert await write_all(predictions, (fence, better)) == ["stored"]
    assert await stored_pictures(predictions, fence) == expected | {3: (15, b"new")}


async def frames_with_pictures(database: Database, fence: Fence) -> list[int]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT frame FROM evidence WHERE scenario_id = $1 ORDER BY 1", fence.scenario_id
        )
    return [row["frame"] for row in rows]


async def test_a_picture_of_several_events_is_stored_once_until_no_event_shows_it(
    predictions: Database,
) -> None:
    fence = await claimed(predictions)
    visitor = alert(2)
    told = with_pictures(with_events(batch(0, 10), STAY, visitor), picture(1, 5, 9.0), picture(2, 5, 9.0))
    before = PICTURES._value.get(), PICTURE_BYTES._value.get()
    await write(predictions, fence, told)
    count(told)
    assert (PICTURES._value.get() - before[0], PICTURE_BYTES._value.get() - before[1]) == (1, len(b"jpeg"))
    assert await frames_with_pictures(predictions, fence) == [5]
    for start, score in ((10, 20.0), (20, 20.0), (30, 40.0)):  # the second is not clearly better
        later = with_events(batch(start, start + 10), STAY)
        await write(predictions, fence, with_pictures(later, picture(1, start + 5, score)))
    assert await frames_with_pictures(predictions, fence) == [5, 35]
    for event_id, left in ((2, [35]), (1, [])):
        async with predictions.connection() as connection:
            await connection.execute(
                "DELETE FROM events WHERE scenario_id = $1 AND event_id = $2", fence.scenario_id, event_id
            )
        assert await frames_with_pictures(predictions, fence) == left


async def test_a_shared_picture_goes_with_the_last_of_two_events_that_are_removed_at_once(
    predictions: Database,
) -> None:
    fence = await claimed(predictions)
    told = with_pictures(with_events(batch(0, 10), STAY, alert(2)), picture(1, 5, 9.0), picture(2, 5, 9.0))
    await write(predictions, fence, told)

    async def remove(event_id: int) -> None:
        async with predictions.connection() as connection:
            await connection.execute(
                "DELETE FROM events WHERE scenario_id = $1 AND event_id = $2", fence.scenario_id, event_id
            )

    async with create_task_group() as tasks, predictions.transaction() as connection:
        await connection.execute("DELETE FROM events WHERE event_id = 1")
        tasks.start_soon(remove, 2)  # waits for the picture, which the first has locked
        await until(lambda: blocks_another(connection))
    assert await frames_with_pictures(predictions, fence) == []


async def test_no_picture_is_stored_of_a_batch_that_is_fenced_off_or_deleted(predictions: Database) -> None:
    fenced, deleted = await claimed(predictions), await claimed(predictions)
    await claim(predictions, replace(fenced, attempt=2, run_token=uuid4()))
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, deleted.scenario_id)
    for fence in (fenced, deleted):
        told = with_pictures(with_events(batch(0, 10), STAY), picture(1, 5, 1.0))
        assert await write_all(predictions, (fence, told)) == ["fenced_off"]
        assert await stored_pictures(predictions, fence) == {}


async def test_a_batch_with_pictures_shares_no_statement(predictions: Database) -> None:
    fences = [await claimed(predictions) for _ in range(3)]
    shared = SharedStatements(predictions)
    plain = with_events(batch(0, 10), STAY)
    told = [plain, with_pictures(plain, picture(1, 5, 1.0)), plain]
    results: list[str | None] = []
    for fence, each in zip(fences, told, strict=True):
        results.append(await shared.write(BatchWrite(fence, each)))
    assert results == ["stored", None, "stored"]

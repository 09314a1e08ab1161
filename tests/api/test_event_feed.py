"""What streams tell of events in the videos."""

from uuid import UUID

import pytest

from app.api import event_feed
from app.api.event_feed import EventFeed
from app.postgres import Database
from tests.api.event_reader import reading
from tests.support.rows import add_checkpoint, add_found, add_scenario


@pytest.fixture
async def scenario_id(scenarios: Database, predictions: Database) -> UUID:
    """Store an event that has ended, and one that goes on."""
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id)
    await add_found(predictions, scenario_id, 1)
    await add_found(predictions, scenario_id, 2, state="open")
    return scenario_id


@pytest.fixture
async def feed(scenario_id: UUID, predictions: Database) -> EventFeed:
    feed = EventFeed(predictions)
    await feed.begin()
    return feed


async def end(predictions: Database, event_id: int, state: str = "ended") -> None:
    async with predictions.connection() as connection:
        await connection.execute("UPDATE events SET state = $2 WHERE event_id = $1", event_id, state)


async def told(feed: EventFeed) -> list[tuple[int, str]]:
    return [(event.event_id, event.state) for event in await feed.read()]


async def test_an_event_is_told_when_it_is_new_and_when_it_has_ended(
    feed: EventFeed, scenario_id: UUID, predictions: Database
) -> None:
    assert await told(feed) == []
    await add_found(predictions, scenario_id, 3, state="open")
    await add_found(predictions, scenario_id, 4)
    assert await told(feed) == [(3, "open"), (4, "ended")]
    assert await told(feed) == []
    await end(predictions, 2)
    await end(predictions, 3, "interrupted")
    assert await told(feed) == [(2, "ended"), (3, "interrupted")]
    assert await told(feed) == []


async def test_an_event_that_is_committed_late_is_not_skipped(
    feed: EventFeed, scenario_id: UUID, predictions: Database
) -> None:
    columns = "scenario_id, start_frame, end_frame, best_frame, track_id, start_time, end_time, best_time,"
    columns += " best_confidence, kind, state, name, label, best_box"
    async with predictions.transaction() as late:
        await late.execute(
            f"INSERT INTO events (event_id, {columns})"  # noqa: S608
            f" SELECT 7, {columns} FROM events WHERE event_id = 1"
        )
        await add_found(predictions, scenario_id, 3)
        assert await told(feed) == [(3, "ended")]
    assert await told(feed) == [(7, "ended")]
    assert await told(feed) == []


async def test_what_was_read_is_not_read_again_after_a_while(
    feed: EventFeed, scenario_id: UUID, predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "_PATIENCE", -1.0)
    for event_id in (3, 4, 5):
        await add_found(predictions, scenario_id, event_id)
        assert await told(feed) == [(event_id, "ended")]
        assert not feed._read


async def test_many_new_events_are_told_in_parts(
    feed: EventFeed, scenario_id: UUID, predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "_LIMIT", 2)
    for event_id in range(3, 8):
        await add_found(predictions, scenario_id, event_id)
    parts = [await told(feed) for _ in range(4)]
    assert [len(part) for part in parts] == [2, 2, 1, 0]
    assert [event_id for part in parts for event_id, _ in part] == [3, 4, 5, 6, 7]


async def test_removed_events_are_forgotten(feed: EventFeed, predictions: Database) -> None:
    async with predictions.connection() as connection:
        await connection.execute("DELETE FROM events")
    assert await told(feed) == []
    assert not feed._open


async def test_a_stream_tells_of_events(url: str, scenario_id: UUID, predictions: Database) -> None:
    async with reading(url) as reader, reading(url) as other:
        await reader.next("progress")
        await add_found(predictions, scenario_id, 3, kind="zone", name="yard", state="open")
        for each in (reader, other):
            event = await each.next("event")
            expected = (str(scenario_id), 3, "zone", "person", "yard", "open")
            names = ("scenario_id", "event_id", "kind", "label", "name", "state")
            assert tuple(event[name] for name in names) == expected
        await end(predictions, 3)
        ended = await reader.next("event")
        assert (ended["event_id"], ended["state"]) == (3, "ended")

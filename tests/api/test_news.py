"""What streams tell of live sources, of events in the videos and of batches, and how they are resumed."""

from datetime import timedelta
from random import Random
from types import SimpleNamespace
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from anyio import create_task_group

from app.api import ApiDeps, batch_news
from app.api.databases import open_request_database
from app.api.queries.events import StoredEvent
from app.api.queries.news import read_news
from app.api.queries.stream_order import StreamPosition, misses_old_rows
from app.postgres import Database
from app.runner.cleanup import old_stream_entries
from app.runner.cleanup.old_stream_entries import remove_oldest_entries
from tests.api.conftest import Start, listening
from tests.api.event_reader import reading
from tests.support.proxy import proxied
from tests.support.rows import add_checkpoint, add_event, add_found, add_scenario, add_source_change

BEGINNING = StreamPosition(0, 0)


@pytest.fixture
async def scenario_id(scenarios: Database, predictions: Database) -> UUID:
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id)
    return scenario_id


class News:
    """Reads on after the last position."""

    def __init__(self, predictions: Database) -> None:
        self._predictions = predictions
        self.position = BEGINNING

    async def read(self, limit: int = 100) -> list[tuple[int, str]]:
        """Return number and state of each event or change."""
        items, self.position, _ = await read_news(self._predictions, self.position, limit)
        contents = [item.content for item in items]
        assert all(item.position <= self.position for item in items)
        return [
            (each.event_id if isinstance(each, StoredEvent) else each.number, each.state) for each in contents
        ]


@pytest.fixture
def news(predictions: Database) -> News:
    return News(predictions)


async def end(predictions: Database, event_id: int, state: str = "ended") -> None:
    async with predictions.connection() as connection:
        await connection.execute("UPDATE events SET state = $2 WHERE event_id = $1", event_id, state)


async def test_an_event_is_told_when_it_is_new_and_when_its_state_changes(
    news: News, scenario_id: UUID, predictions: Database
) -> None:
    await add_found(predictions, scenario_id, 3, state="open")
    await add_found(predictions, scenario_id, 4)
    assert await news.read() == [(3, "open"), (4, "ended")]
    assert await news.read() == []
    for state in ("interrupted", "open", "ended"):
        await end(predictions, 3, state)
        assert await news.read() == [(3, state)]
    async with predictions.connection() as connection:
        await connection.execute("UPDATE events SET state = 'ended', end_time = end_time + 1")
    assert await news.read() == [], "it goes on"


async def test_of_several_states_that_were_missed_the_latest_is_told(
    news: News, scenario_id: UUID, predictions: Database
) -> None:
    await add_found(predictions, scenario_id, 1, state="open")
    await end(predictions, 1, "interrupted")
    await end(predictions, 1, "ended")
    assert await news.read() == [(1, "ended")]


async def test_a_removed_event_is_not_told(news: News, scenario_id: UUID, predictions: Database) -> None:
    await add_found(predictions, scenario_id, 1)
    await add_source_change(predictions, scenario_id, 1)
    async with predictions.connection() as connection:
        await connection.execute("DELETE FROM events")
        await connection.execute("DELETE FROM source_changes")
    assert await news.read() == []
    assert news.position > BEGINNING


async def test_news_that_are_committed_late_are_not_skipped(
    news: News, scenario_id: UUID, predictions: Database
) -> None:
    async with predictions.transaction() as late:
        await late.execute(
            "INSERT INTO source_changes VALUES ($1, 1, clock_timestamp(), 1, 'open', '')", scenario_id
        )
        await add_found(predictions, scenario_id, 2)
        assert await news.read() == []
    assert await news.read() == [(1, "open"), (2, "ended")]


async def test_many_news_are_told_in_parts(news: News, scenario_id: UUID, predictions: Database) -> None:
    for number in range(1, 6):
        await add_found(predictions, scenario_id, number)
    assert [[number for number, _ in await news.read(2)] for _ in range(4)] == [[1, 2], [3, 4], [5], []]


async def test_a_stream_tells_of_events_and_sources(
    url: str, scenario_id: UUID, predictions: Database
) -> None:
    await add_source_change(predictions, scenario_id, 1)
    async with reading(url) as reader, reading(url) as other:
        await add_found(predictions, scenario_id, 3, kind="zone", name="yard", state="open")
        for each in (reader, other):
            event = await each.next("event")
            expected = (str(scenario_id), 3, "zone", "person", "yard", "open")
            names = ("scenario_id", "event_id", "kind", "label", "name", "state")
            assert tuple(event[name] for name in names) == expected
        await end(predictions, 3)
        assert (await reader.next("event"))["state"] == "ended"
        await add_source_change(predictions, scenario_id, 2, reason="away")
        for each in (reader, other):
            lost = await each.next("source")
            assert (lost["scenario_id"], lost["number"], lost["state"], lost["reason"]) == (
                str(scenario_id),
                2,
                "reconnecting",
                "away",
            )


async def test_a_client_that_was_disconnected_before_any_news_misses_none(
    url: str, scenario_id: UUID, predictions: Database
) -> None:
    async with reading(url) as reader:
        pass
    await add_source_change(predictions, scenario_id, 1)
    await add_found(predictions, scenario_id, 1)
    async with reading(url, reader.last_id) as resumed:
        assert (await resumed.next("source"))["number"] == 1
        assert (await resumed.next("event"))["event_id"] == 1


async def test_connections_that_break_anywhere_miss_and_repeat_nothing_on_any_process(
    url: str, start: Start, scenario_id: UUID, scenarios: Database, predictions: Database
) -> None:
    """Two databases and two processes; a client reads some bytes, and reconnects to the other process."""
    numbers = list(range(1, 26))
    chance = Random(5)
    told: dict[str, list[int]] = {"scenario": [], "source": [], "event": []}

    async def write() -> None:
        for number in numbers:
            await add_event(scenarios, scenario_id, reason=str(number))
            await add_source_change(predictions, scenario_id, number)
            await add_found(predictions, scenario_id, number)

    async with start() as app, listening(app) as other, create_task_group() as tasks:
        async with reading(url) as reader:
            last_id = reader.last_id
        tasks.start_soon(write)
        cuts = 0
        while min(map(len, told.values())) < len(numbers):
            size = chance.choice((200, 1200, 5000))
            received, last_id = await read_bytes(chance.choice((url, other)), last_id, size)
            cuts += bool(received)
            for kind, number in received:
                told[kind].append(number)
    assert told == dict.fromkeys(told, numbers)
    assert cuts > 5


async def read_bytes(url: str, last_id: str | None, size: int) -> tuple[list[tuple[str, int]], str | None]:
    """Return the kind and number of the events in the first bytes of a stream, and the last id."""
    received = b""
    async with (
        httpx.AsyncClient(timeout=60) as http,
        http.stream("GET", f"{url}/stream?seconds=0.3", headers={"Last-Event-ID": last_id or ""}) as response,
    ):
        assert response.status_code == 200
        async for part in response.aiter_bytes():
            received += part
            if len(received) >= size:
                break
    found = []
    whole, _, _ = received[:size].rpartition(b"\n\n")
    for block in whole.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        last_id = fields.get("id", last_id)
        if fields.get("event") in ("scenario", "source", "event"):
            data = msgspec.json.decode(fields["data"])
            number = data.get("number") or data.get("event_id") or int(data["reason"])
            found.append((fields["event"], number))
    return found, last_id


async def test_an_id_from_a_history_resumes_changes_and_begins_with_new_events(
    url: str, scenario_id: UUID, scenarios: Database, predictions: Database
) -> None:
    await add_event(scenarios, scenario_id, reason="first")
    async with httpx.AsyncClient() as http:
        items = (await http.get(f"{url}/scenarios/{scenario_id}/history")).json()["items"]
    await add_event(scenarios, scenario_id, reason="second")
    await add_found(predictions, scenario_id, 1)
    async with reading(url, items[-1]["id"]) as reader:
        assert (await reader.next())["reason"] == "second"
        await add_found(predictions, scenario_id, 2)
        assert (await reader.next("event"))["event_id"] == 2


async def test_changes_are_told_while_the_predictions_database_is_silent_and_news_afterwards(
    start: Start, deps: ApiDeps, scenario_id: UUID, predictions_dsn: str
) -> None:
    async with (
        proxied(predictions_dsn) as proxy,
        open_request_database(proxy.dsn) as distant,
        start(ApiDeps(deps.scenarios, distant, deps.bus)) as app,
        listening(app) as url,
        reading(url) as reader,
        create_task_group() as tasks,
    ):
        tasks.start_soon(distant.watch)
        proxy.silence()
        await add_found(deps.predictions, scenario_id, 1)
        await add_event(deps.scenarios, scenario_id, reason="meanwhile")
        assert (await reader.next())["reason"] == "meanwhile"
        await proxy.open()
        assert (await reader.next("event"))["event_id"] == 1
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("hours", "status"), [(23.9, 200), (24.1, 410)])
async def test_news_older_than_a_day_are_not_streamed(
    url: str, scenario_id: UUID, predictions: Database, hours: float, status: int
) -> None:
    async with reading(url) as reader:
        pass
    await add_found(predictions, scenario_id, 1)
    await age(predictions, hours)
    headers = {"Last-Event-ID": reader.last_id or ""}
    async with httpx.AsyncClient() as http, http.stream("GET", f"{url}/stream", headers=headers) as response:
        assert response.status_code == status


async def age(predictions: Database, hours: float) -> None:
    async with predictions.connection() as connection:
        await connection.execute("UPDATE stream_entries SET at = at - $1::interval", timedelta(hours=hours))


async def test_old_entries_are_removed_except_the_one_that_shows_it(
    scenario_id: UUID, predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = timedelta(days=1)
    monkeypatch.setattr(old_stream_entries, "_ROWS", 2)
    for number in range(1, 5):
        await add_found(predictions, scenario_id, number)
    _, last, _ = await read_news(predictions, BEGINNING, 100)
    _, third, _ = await read_news(predictions, BEGINNING, 3)
    await age(predictions, 26)
    await add_found(predictions, scenario_id, 5)
    async with predictions.connection() as connection:
        removed = [await remove_oldest_entries(connection, 25 * 3600) for _ in range(3)]
    assert removed == [2, 1, 0]
    assert await misses_old_rows(predictions, "stream_entries", third, day)
    assert not await misses_old_rows(predictions, "stream_entries", last, day)


async def test_the_end_of_a_batch_is_told_twice_and_a_slow_read_misses_no_change(
    scenarios: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 0.0
    monkeypatch.setattr(batch_news, "time", SimpleNamespace(monotonic=lambda: clock))
    async with scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO batches (id, spec, name, watch, at_once) VALUES ($1, '{}', '', false, 1)", uuid4()
        )
    news = batch_news.BatchNews(scenarios)

    async def change(what: str) -> None:
        """Change the batch a minute ago."""
        async with scenarios.connection() as connection:
            await connection.execute(
                f"UPDATE batches SET {what}, updated_at = now() - interval '1 minute'"  # noqa: S608
            )

    async def told() -> list[tuple[str, bool]]:
        items = [msgspec.json.decode(each.partition(b"data: ")[2]) for each in await news.read()]
        return [(item["state"], item["deleted"]) for item in items]

    assert [await told() for _ in range(3)] == [[("running", False)], [], []]
    await change("state = 'done'")
    assert [await told() for _ in range(10)] == [[("done", False)], *[[]] * 6, [("done", False)], [], []]
    await change("deleted_at = now()")
    clock += 60
    assert [await told() for _ in range(2)] == [[("done", True)], []]

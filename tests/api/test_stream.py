"""The stream of events, over real sockets."""

import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from anyio import Event, create_task_group, fail_after, move_on_after

from app.api import change_stream
from app.postgres import Database
from tests.api.conftest import Start, listening
from tests.api.event_reader import reading
from tests.support.rows import MEDIA, add_checkpoint, add_event, add_scenario
from tests.support.waiting import until


async def test_changes_with_long_texts_arrive_in_several_parts(url: str, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    async with reading(url) as reader:
        pass
    reasons = [str(number) * 3_000_000 for number in range(5)]
    for reason in reasons:
        await add_event(scenarios, scenario_id, reason=reason)
    async with reading(url, reader.last_id) as reader:
        assert [(await reader.next())["reason"] == reason for reason in reasons] == [True] * 5


async def test_a_stream_sends_each_change_from_now_on(url: str, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_event(scenarios, scenario_id, reason="before the stream")
    async with reading(url) as reader:
        await add_event(scenarios, scenario_id, "active", from_state="in_startup_processing", runner_id="r1")
        change = await reader.next()
        assert change | {"at": "", "id": ""} == {
            "kind": "state",
            "id": "",
            "scenario_id": str(scenario_id),
            "at": "",
            "from": "in_startup_processing",
            "to": "active",
            "attempt": 1,
            "runner_id": "r1",
            "reason": "because",
            "outcome": None,
            "error": None,
            "deleted": False,
        }
        assert reader.last_id is not None
        assert reader.last_id.startswith(f"{change['id']}-")


async def test_a_change_is_sent_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_stream, "_POLL", 3600.0)  # so that notifications alone tell of changes
    body = {"source": "clip.mp4", "detector": {"type": "marker"}}
    async with reading(url) as reader, httpx.AsyncClient() as http:
        for _ in range(3):
            created = (await http.post(f"{url}/scenarios", json=body)).json()
            change = await reader.next()
            assert (change["scenario_id"], change["reason"]) == (created["id"], "created")


async def test_a_stream_can_be_resumed_on_any_process(start: Start, url: str, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    async with reading(url) as reader:
        await add_event(scenarios, scenario_id, reason="seen")
        await reader.next()
    for number in range(450):  # more than one batch
        await add_event(scenarios, scenario_id, reason=str(number))
    async with start() as other, listening(other) as other_url, reading(other_url, reader.last_id) as resumed:
        assert [(await resumed.next())["reason"] for _ in range(450)] == [str(n) for n in range(450)]


async def test_a_client_disconnected_before_any_event_misses_nothing(url: str, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    async with reading(url) as reader:
        pass
    await add_event(scenarios, scenario_id, reason="while it was away")
    async with reading(url, reader.last_id) as resumed:
        assert (await resumed.next())["reason"] == "while it was away"


async def test_a_client_can_reconnect_if_nothing_happened(url: str) -> None:
    async with reading(url) as reader:
        pass
    async with reading(url, reader.last_id) as resumed:
        assert resumed.last_id == reader.last_id


async def test_a_change_that_commits_late_is_not_skipped(url: str, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    insert = (
        "INSERT INTO scenario_events (scenario_id, to_state, attempt, reason) VALUES ($1, 'active', 1, $2)"
    )
    async with reading(url) as reader, scenarios.transaction() as late:
        await late.execute(insert, scenario_id, "drew its id first")
        await add_event(scenarios, scenario_id, reason="committed first")
        with move_on_after(0.3) as early:
            await reader.next()
        assert early.cancelled_caught, "nothing is told out of order"
    # The read was cancelled, so the client reconnects.
    async with reading(url, reader.last_id) as resumed:
        told = [(await resumed.next())["reason"] for _ in range(2)]
        assert told == ["drew its id first", "committed first"]


async def test_progress_is_sent_for_running_scenarios(
    url: str, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios, media=MEDIA)
    await add_scenario(scenarios, state="inactive")
    await add_checkpoint(predictions, scenario_id, next_frame=900, frames_per_second=100.0)
    async with reading(url) as first, reading(url) as second:
        for reader in (first, second):
            before = reader.last_id
            tick = await reader.next("progress")
            assert UUID(tick["scenario_id"]) == scenario_id
            assert tick["progress"]["percent"] == 50.0
            assert tick["source_state"] == "open"
            assert reader.last_id == before, "progress carries no id"


async def test_a_quiet_stream_is_kept_alive(start: Start) -> None:
    async with (
        start(keep_alive=0.05) as app,
        listening(app) as url,
        reading(url) as reader,
        create_task_group() as tasks,
    ):
        tasks.start_soon(reader.next)
        await until(lambda: reader.comments >= 3)
        tasks.cancel_scope.cancel()


async def test_streams_end_when_the_service_stops(start: Start) -> None:
    stopping = Event()
    async with start(shutting_down=stopping) as app, listening(app) as url, reading(url) as reader:
        stopping.set()
        with fail_after(20), pytest.raises(EOFError):
            await reader.next()


async def test_streams_continue_after_the_database_was_lost(url: str, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    async with reading(url) as reader:
        async with scenarios.connection() as connection:
            listeners = await until(
                lambda: connection.fetch(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert listeners, "the change stream had a connection, and lost it"
        await add_event(scenarios, scenario_id, reason="afterwards")
        assert (await reader.next())["reason"] == "afterwards"


async def test_the_number_of_streams_is_limited(start: Start) -> None:
    async with start(max_streams=2) as app, listening(app) as url, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(reading(url))
        async with httpx.AsyncClient() as http:
            refused = await http.get(f"{url}/stream")
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/too-many-streams")
            assert "retry-after" in refused.headers
            await stack.aclose()

            async def opens_again() -> bool:
                async with http.stream("GET", f"{url}/stream") as response:
                    return response.status_code == 200

            await until(opens_again)


@pytest.mark.parametrize(
    "event_id",
    [
        "",
        "7",
        "1-",
        "a-b",
        "-1-1",
        "1-9223372036854775808",
        "99999999999-1",
        "1-1-1",
        "1-1-99999999999-1",
        "1-1-1-9223372036854775808",
    ],
)
async def test_an_event_id_of_another_service_is_refused(http: httpx.AsyncClient, event_id: str) -> None:
    response = await http.get("/stream", headers={"Last-Event-ID": event_id})
    assert response.status_code == 400
    assert response.json()["field"] == "Last-Event-ID"


@pytest.mark.parametrize(("age", "status"), [(23.9, 200), (24.1, 410)])
async def test_changes_older_than_a_day_are_not_streamed(
    url: str, scenarios: Database, age: float, status: int
) -> None:
    scenario_id = await add_scenario(scenarios)
    async with reading(url) as reader:
        await add_event(scenarios, scenario_id)
        await reader.next()
        last_id = reader.last_id
    assert last_id is not None
    await add_event(scenarios, scenario_id, at=datetime.now(UTC) - timedelta(hours=age))
    headers = {"Last-Event-ID": last_id}
    async with httpx.AsyncClient() as http, http.stream("GET", f"{url}/stream", headers=headers) as response:
        assert response.status_code == status
        if status == 410:
            problem = json.loads(await response.aread())
            assert (problem["type"], problem["field"]) == ("/problems/gone", "Last-Event-ID")
            assert "/history" in problem["detail"]


async def test_an_old_event_id_is_accepted_if_nothing_happened_since(url: str, scenarios: Database) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_event(scenarios, scenario_id, at=datetime.now(UTC) - timedelta(days=9))
    async with httpx.AsyncClient() as http:
        items = (await http.get(f"{url}/scenarios/{scenario_id}/history")).json()["items"]
    async with reading(url, items[0]["id"]) as reader:
        await add_event(scenarios, scenario_id, reason="afterwards")
        assert (await reader.next())["reason"] == "afterwards"


async def test_a_stream_can_end_after_a_time(url: str, scenarios: Database) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        response = await http.get(f"{url}/stream", params={"seconds": 0.5})
        assert response.text.startswith("retry:")
        assert (await http.get(f"{url}/stream", params={"seconds": 0})).status_code == 400


async def test_without_clients_the_change_stream_runs_no_queries(url: str, scenarios: Database) -> None:
    async def sessions() -> int:
        async with scenarios.connection() as connection:
            return int(
                await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND query LIKE '%horizon%' AND state_change > now() - interval '0.3 seconds'"
                    " AND pid <> pg_backend_pid()"
                )
            )

    scenario_id = await add_scenario(scenarios)
    async with reading(url):
        await add_event(scenarios, scenario_id)
        await until(sessions)

    async def is_quiet() -> bool:
        return await sessions() == 0

    await until(is_quiet)

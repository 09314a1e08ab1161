"""Deliveries and channels over HTTP: list, retry, test; and no secret in any answer."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import REGISTRY

from app.api.routes import channels as channel_routes
from app.postgres import Database
from app.runner.cleanup.purge import leave_tombstone
from tests.api.conftest import Start, connected
from tests.notifier.running import notifying, webhook
from tests.support.deliveries import add, states
from tests.support.webhook_receiver import Receiver, accept, receiver, status

YARD, DOOR = UUID(int=1), UUID(int=2)
CHANNELS = {"ops": "webhook", "home": "mqtt"}


@pytest.fixture
async def client(start: Start) -> AsyncIterator[httpx.AsyncClient]:
    async with start(channels=CHANNELS) as app, connected(app) as http:
        yield http


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


async def listed(client: httpx.AsyncClient, **query: str | int) -> list[tuple[str, int]]:
    answer = await client.get("/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    return [(item["scenario_id"], item["event_id"]) for item in answer.json()["items"]]


async def execute(database: Database, sql: str) -> None:
    async with database.connection() as connection:
        await connection.execute(sql)


async def test_deliveries_are_listed_newest_first_by_channel_state_and_scenario(
    client: httpx.AsyncClient, predictions: Database
) -> None:
    await add(predictions, YARD, 1, 2)
    await add(predictions, DOOR, 1)
    await add(predictions, YARD, 1, channel="home")
    await execute(predictions, "UPDATE deliveries SET state = 'sent', ended_at = now() WHERE event_id = 2")
    yard, door = str(YARD), str(DOOR)
    assert await listed(client) == [(yard, 1), (door, 1), (yard, 2), (yard, 1)]
    assert await listed(client, channel="ops") == [(door, 1), (yard, 2), (yard, 1)]
    assert await listed(client, state="sent") == [(yard, 2)]
    assert await listed(client, scenario=door) == [(door, 1)]
    assert await listed(client, scenario=yard, channel="ops", state="pending") == [(yard, 1)]
    assert (await client.get("/deliveries", params={"state": "lost"})).status_code == 400


async def test_pages_neither_repeat_nor_skip_while_deliveries_are_added(
    client: httpx.AsyncClient, predictions: Database
) -> None:
    await add(predictions, YARD, *range(1, 6))
    found, query = [], {"limit": "2", "channel": "ops"}
    while True:
        page = (await client.get("/deliveries", params=query)).json()
        found += [item["event_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        await add(predictions, YARD, 100 + len(found))
    assert found == [5, 4, 3, 2, 1]
    query["channel"] = "home"
    assert (await client.get("/deliveries", params=query)).status_code == 400


async def test_nothing_of_a_deleted_scenario_is_shown_or_retried(
    client: httpx.AsyncClient, predictions: Database
) -> None:
    await add(predictions, YARD, 1)
    await execute(predictions, "UPDATE deliveries SET state = 'dead', ended_at = now()")
    (item,) = (await client.get("/deliveries")).json()["items"]
    async with predictions.connection() as connection:
        await leave_tombstone(connection, YARD)
    assert await listed(client) == []
    assert (await client.post(f"/deliveries/{item['id']}/retry")).status_code == 404


async def test_a_dead_delivery_is_sent_again_if_somebody_asks(
    client: httpx.AsyncClient, predictions: Database, hook: Receiver
) -> None:
    await add(predictions, YARD, 1)
    (item,) = (await client.get("/deliveries")).json()["items"]
    refused = await client.post(f"/deliveries/{item['id']}/retry")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "Only a dead delivery is sent again: it is pending.",
    )
    await execute(
        predictions,
        "UPDATE deliveries SET state = 'dead', ended_at = now(), attempts = 5, error = 'the channel is away',"
        " waits_since = now() - interval '3 days'",
    )
    retried = await client.post(f"/deliveries/{item['id']}/retry")
    assert retried.status_code == 200
    assert (retried.json()["state"], retried.json()["attempts"]) == ("pending", 0)
    assert await states(predictions) == [(1, "pending")]
    assert (await client.post(f"/deliveries/{uuid4()}/retry")).status_code == 404


async def test_channels_are_listed_with_what_waits_and_without_addresses(
    client: httpx.AsyncClient, predictions: Database
) -> None:
    await add(predictions, YARD, 1, 2)
    await execute(predictions, "UPDATE deliveries SET error = 'the channel is away' WHERE event_id = 1")
    home: dict[str, Any]
    ops, home = (await client.get("/channels")).json()["items"]
    assert ops.pop("waiting_since") is not None
    assert ops == {
        "name": "ops",
        "type": "webhook",
        "waiting": 2,
        "dead": 0,
        "last_sent_at": None,
        "error": "the channel is away",
    }
    assert (home["waiting"], home["waiting_since"], home["error"]) == (0, None, None)
    text = (await client.get("/metrics")).text
    assert 'videoanalysis_deliveries{channel="ops",state="pending"} 2.0' in text
    assert 'videoanalysis_deliveries{channel="home",state="dead"} 0.0' in text


async def test_a_test_tells_whether_the_channel_took_it(
    client: httpx.AsyncClient, predictions: Database, hook: Receiver
) -> None:
    async with notifying(predictions, {"ops": webhook(hook)}):
        taken = (await client.post("/channels/ops/test")).json()
        assert (taken["state"], taken["error"]) == ("sent", None)
        assert hook.received[0].id == taken["delivery_id"]
        hook.answer = status(401)
        for _ in range(2):  # the second one although the channel is paused
            refused = (await client.post("/channels/ops/test")).json()
            assert (refused["state"], refused["error"]) == ("dead", "the channel answers with status 401")
    (item, *_) = (await client.get("/deliveries")).json()["items"]
    assert (item["scenario_id"], item["event_id"], item["kind"]) == (None, None, None)
    again = await client.post(f"/deliveries/{item['id']}/retry")
    assert (again.status_code, again.json()["detail"]) == (
        409,
        "A test is not sent again: test the channel once more.",
    )


async def test_a_test_that_failed_is_no_dead_event_and_no_error_once_something_was_sent(
    client: httpx.AsyncClient, predictions: Database, hook: Receiver
) -> None:
    async def shown() -> tuple[int, str | None]:
        ops = (await client.get("/channels")).json()["items"][0]
        return ops["dead"], ops["error"]

    def counted() -> float:
        labels = {"channel": "ops"}
        return REGISTRY.get_sample_value("videoanalysis_deliveries_dead_total", labels) or 0.0

    before = counted()
    async with notifying(predictions, {"ops": webhook(hook)}):
        hook.answer = status(401)
        await client.post("/channels/ops/test")
        assert await shown() == (0, "the channel answers with status 401")
        hook.answer = accept
        await client.post("/channels/ops/test")
        assert await shown() == (0, None)
    assert counted() == before


async def test_a_test_without_a_notifier_says_what_to_start(
    client: httpx.AsyncClient, predictions: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_routes, "TEST_SECONDS", 0.3)
    answer = await client.post("/channels/ops/test")
    assert answer.status_code == 503
    assert "role `notifier`" in answer.json()["detail"]
    assert await states(predictions) == []


async def test_an_unknown_channel_is_refused_with_those_there_are(client: httpx.AsyncClient) -> None:
    answer = await client.post("/channels/opps/test")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "There is no channel 'opps'. The channels are: 'home', 'ops'."
    body = {
        "source": "test:testsrc2",
        "detector": {"type": "objects"},
        "notify": {"channels": ["ops", "opps"], "on": ["object"]},
    }
    answer = await client.post("/scenarios", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "notify.channels")
    assert answer.json()["detail"] == "There is no channel 'opps'. The channels are: 'home', 'ops'."
    body["notify"] = {"channels": ["ops", "home"], "on": ["presence"]}
    answer = await client.post("/scenarios", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "notify.on[0]")
    assert "set `presence` to {}, or name others in `notify.on` (object)" in answer.json()["detail"]
    body["presence"] = {}
    assert (await client.post("/scenarios", json=body)).status_code == 201


async def test_without_a_file_the_error_says_which_setting_names_one(start: Start) -> None:
    notify = {"channels": ["ops"], "on": ["object"]}
    body = {"source": "test:testsrc2", "detector": {"type": "objects"}, "notify": notify}
    async with start() as app, connected(app) as http:
        answer = await http.post("/scenarios", json=body)
    assert answer.json()["detail"] == (
        "There is no channel 'ops': name a file with channels in VA_CHANNELS_FILE."
    )

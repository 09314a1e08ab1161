"""Cached responses are as correct as others."""

from uuid import UUID, uuid4

import httpx
import pytest

from app.api.http.middleware import RequestMiddleware
from app.api.http.response_cache import ResponseCache
from app.postgres import Database
from tests.support.rows import add_checkpoint, add_found, add_prediction, add_scenario

PATHS = (
    "",
    "/predictions",
    "/predictions?label=cat&limit=1",
    "/timeline",
    "/timeline?bucket=1",
    "/events/counts",
)


async def read(http: httpx.AsyncClient, scenario_id: UUID) -> list[bytes]:
    """Return the responses of all paths, each requested twice."""
    answers = []
    for path in PATHS:
        first, again = [await http.get(f"/scenarios/{scenario_id}{path}") for _ in range(2)]
        assert (first.status_code, first.content) == (200, again.content)
        assert first.headers["content-type"] == again.headers["content-type"] == "application/json"
        answers.append(first.content)
    return answers


async def test_responses_about_a_completed_scenario_are_cached(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios, state="inactive", outcome="completed")
    await add_checkpoint(predictions, scenario_id, next_frame=1, finished=True)
    await add_prediction(predictions, scenario_id, 0, ("cat", 0.5))
    await add_found(predictions, scenario_id, 1)
    before = await read(http, scenario_id)
    async with predictions.connection() as connection:
        await connection.execute("DELETE FROM predictions")
        await connection.execute("DELETE FROM events")
    assert await read(http, scenario_id) == before


async def test_no_cached_response_is_returned_for_a_deleted_scenario(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios, state="inactive", outcome="completed")
    await read(http, scenario_id)
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE scenarios SET deleted_at = now()")
    for path in PATHS:
        assert (await http.get(f"/scenarios/{scenario_id}{path}")).status_code == 404


async def test_no_cached_response_is_returned_for_a_restarted_scenario(
    http: httpx.AsyncClient, scenarios: Database
) -> None:
    scenario_id = await add_scenario(scenarios, state="inactive", outcome="completed")
    await read(http, scenario_id)
    async with scenarios.connection() as connection:
        await connection.execute("UPDATE scenarios SET state = 'init_startup', outcome = NULL, attempt = 2")
    assert (await http.get(f"/scenarios/{scenario_id}")).json()["state"] == "init_startup"


@pytest.mark.parametrize("outcome", [None, "stopped", "failed"])
async def test_responses_about_other_scenarios_are_not_cached(
    http: httpx.AsyncClient, scenarios: Database, predictions: Database, outcome: str | None
) -> None:
    state = "inactive" if outcome else "active"
    scenario_id = await add_scenario(scenarios, state=state, outcome=outcome, error="it broke")
    before = await read(http, scenario_id)
    await add_checkpoint(predictions, scenario_id, next_frame=1)
    await add_prediction(predictions, scenario_id, 0, ("cat", 0.5))
    await add_found(predictions, scenario_id, 1)
    after = await read(http, scenario_id)
    assert all(now != then for now, then in zip(after, before, strict=True))


def test_the_least_recently_used_response_is_evicted() -> None:
    kept = ResponseCache(max_size=3 * 2010)
    names = [uuid4() for _ in range(5)]
    for name in names[:3]:
        kept.put(name, b"it", bytes(1000))
    assert kept.get(names[0], b"it") is not None
    kept.put(names[3], b"it", bytes(1000))
    assert [kept.get(name, b"it") is not None for name in names[:4]] == [True, False, True, True]
    kept.put(names[4], b"it", bytes(10_000))
    assert kept.get(names[4], b"it") is None


def test_evicting_a_scenario_makes_room() -> None:
    kept = ResponseCache(max_size=3 * 2000)
    first, second, third = (uuid4() for _ in range(3))
    for question in (b"0", b"1"):
        kept.put(first, question, bytes(990))
    kept.put(second, b"0", bytes(990))
    kept.evict(first)
    kept.evict(first)
    for question in (b"0", b"1"):
        assert kept.get(first, question) is None
        kept.put(third, question, bytes(990))
    assert kept.get(second, b"0") is not None


def test_the_size_of_a_query_counts_too() -> None:
    kept = ResponseCache(max_size=11_000)
    name = uuid4()
    questions = [b"%d" % number * 4000 for number in range(5)]
    for question in questions:
        kept.put(name, question, b"{}")
    found = [kept.get(name, question) is not None for question in questions]
    assert found == [False, False, False, True, True]


async def test_deleting_and_starting_a_scenario_evict_its_responses(
    http: httpx.AsyncClient, app: RequestMiddleware, scenarios: Database
) -> None:
    for method, path in (("DELETE", ""), ("POST", "/start")):
        scenario_id = await add_scenario(scenarios, state="inactive", outcome="completed")
        await read(http, scenario_id)
        assert app.app.state.response_cache.get(scenario_id, b"predictions ") is not None
        await http.request(method, f"/scenarios/{scenario_id}{path}")
        assert app.app.state.response_cache.get(scenario_id, b"predictions ") is None

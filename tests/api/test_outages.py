"""Responses while a database does not answer, or is busy for too long."""

import time

import pytest
from anyio import create_task_group

from app.api import ApiDeps, databases
from app.api.databases import open_request_database
from app.api.queries import scenarios as queries
from app.postgres import Database, open_database
from tests.api.conftest import Start, connected
from tests.api.test_errors import assert_problem
from tests.support.proxy import proxied
from tests.support.rows import add_scenario

BODY = {"source": "clip.mp4", "detector": {"type": "marker"}}


async def test_a_silent_database_is_answered_with_503_long_before_a_query_is_cancelled(
    start: Start, deps: ApiDeps, scenarios_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "QUERY_TIMEOUT", 120.0)
    async with (
        proxied(scenarios_dsn) as proxy,
        open_request_database(proxy.dsn) as distant,
        create_task_group() as tasks,
        start(ApiDeps(distant, deps.predictions, deps.bus)) as app,
        connected(app) as http,
    ):
        tasks.start_soon(distant.watch)
        assert (await http.get("/scenarios")).status_code == 200
        proxy.silence()
        for path in ("/scenarios", "/runners", "/stream"):
            began = time.monotonic()
            assert_problem(await http.get(path), 503, "unavailable")
            assert time.monotonic() - began < 30
        await proxy.open()
        assert (await http.get("/scenarios")).status_code == 200
        tasks.cancel_scope.cancel()


async def test_requests_that_share_a_query_all_fail_long_before_it_is_cancelled(
    start: Start, deps: ApiDeps, scenarios: Database, scenarios_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "QUERY_TIMEOUT", 120.0)
    path = f"/scenarios/{await add_scenario(scenarios, state='inactive', outcome='completed')}"
    async with (
        proxied(scenarios_dsn) as proxy,
        open_request_database(proxy.dsn) as distant,
        create_task_group() as tasks,
        start(ApiDeps(distant, deps.predictions, deps.bus)) as app,
        connected(app) as http,
    ):
        tasks.start_soon(distant.watch)
        assert (await http.get(path)).status_code == 200
        proxy.silence()

        async def ask() -> None:
            for _ in range(3):
                began = time.monotonic()
                assert_problem(await http.get(path), 503, "unavailable")
                assert time.monotonic() - began < 30

        async with create_task_group() as askers:
            for _ in range(30):
                askers.start_soon(ask)
        await proxy.open()
        assert (await http.get(path)).status_code == 200
        tasks.cancel_scope.cancel()


async def test_a_command_whose_effect_cannot_be_read_is_accepted(
    start: Start, deps: ApiDeps, scenarios: Database
) -> None:
    async with (
        open_database("postgresql://127.0.0.1:1/nothing") as away,
        start(ApiDeps(scenarios, away, deps.bus)) as app,
        connected(app) as http,
    ):
        created = await http.post("/scenarios", json=BODY)
        assert created.status_code == 202
        assert created.headers["location"] == f"/scenarios/{created.json()['id']}"
        stopped = await http.post(f"/scenarios/{created.json()['id']}/stop")
        assert stopped.status_code == 202
    async with scenarios.connection() as connection:
        assert await connection.fetchval("SELECT state FROM scenarios") == "inactive"


async def test_a_query_that_takes_too_long_is_cancelled_with_advice(
    start: Start, deps: ApiDeps, scenarios_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def heavy(scenarios: Database, *_: object) -> None:
        async with scenarios.connection() as connection:
            await connection.execute("SELECT pg_sleep(60)")

    monkeypatch.setattr(queries, "list_scenarios", heavy)
    async with (
        open_database(scenarios_dsn, command_timeout=0.2) as busy,
        start(ApiDeps(busy, deps.predictions, deps.bus)) as app,
        connected(app) as http,
    ):
        assert "Ask for less" in assert_problem(await http.get("/scenarios"), 503, "unavailable")

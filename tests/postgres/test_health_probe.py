"""The health probe notices that a server is silent, or answers again, long before any time-out."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from app.postgres import TRANSIENT, Database, open_database
from tests.support.proxy import Proxy, proxied


@asynccontextmanager
async def watched(proxy: Proxy, **bounds: Any) -> AsyncIterator[Database]:
    """A pool with long time-outs whose health probe runs."""
    async with (
        open_database(proxy.dsn, size=1, command_timeout=60, silence_timeout=0.5, **bounds) as database,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(database.watch)
        yield database
        tasks.cancel_scope.cancel()


async def ask(database: Database, sql: str = "SELECT true") -> bool:
    async with database.connection() as connection:
        return bool(await connection.fetchval(sql))


async def test_a_wait_ends_when_the_server_falls_silent(scenarios_dsn: str) -> None:
    async with proxied(scenarios_dsn) as proxy, watched(proxy) as database:
        assert await ask(database)
        proxy.silence()
        began = time.monotonic()
        with pytest.raises(TRANSIENT):
            await ask(database)
        assert time.monotonic() - began < 20
        await proxy.open()
        assert await ask(database)


async def test_connections_that_the_network_forgot_are_replaced(scenarios_dsn: str) -> None:
    async with proxied(scenarios_dsn) as proxy, watched(proxy) as database:
        assert await ask(database)
        proxy.silence()
        with pytest.raises(TRANSIENT):
            await ask(database)
        proxy.forget()
        await proxy.open()
        with anyio.fail_after(20):
            assert await ask(database)


async def test_a_caller_waits_while_the_server_refuses_connections(scenarios_dsn: str) -> None:
    async with proxied(scenarios_dsn) as proxy, watched(proxy) as database:
        proxy.cut()
        answers: list[bool] = []

        async def ask_patiently() -> None:
            answers.append(await ask(database))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask_patiently)
            await anyio.sleep(0.5)
            assert not answers
            await proxy.open()
        assert answers == [True]


async def test_waiting_for_a_server_that_is_away_is_bounded(scenarios_dsn: str) -> None:
    async with proxied(scenarios_dsn) as proxy, watched(proxy, acquire_timeout=0.5) as database:
        proxy.cut()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await ask(database)
            assert time.monotonic() - began < 20


async def test_a_long_statement_of_a_server_that_answers_is_left_alone(scenarios_dsn: str) -> None:
    async with proxied(scenarios_dsn) as proxy, watched(proxy) as database:
        assert await ask(database, "SELECT pg_sleep(2) IS NOT NULL")


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(scenarios_dsn: str) -> None:
    async with open_database(scenarios_dsn, size=1, command_timeout=0.2) as database:
        with pytest.raises(TRANSIENT):
            await ask(database, "SELECT pg_sleep(60) IS NOT NULL")
        assert await ask(database)

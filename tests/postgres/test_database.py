"""Connection pools on a real server that loses connections, stops answering and refuses logins."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

import anyio
import asyncpg
import pytest
from msgspec import Struct

from app.postgres import TRANSIENT, Connection, Database, open_connection, open_database
from tests.support.proxy import proxied
from tests.support.waiting import until


class Point(Struct):
    x: int
    y: int


@pytest.fixture
async def narrow(scenarios_dsn: str) -> AsyncIterator[Database]:
    """A pool of one connection, with time-outs of half a second."""
    async with open_database(scenarios_dsn, size=1, acquire_timeout=0.5, command_timeout=0.5) as database:
        yield database


async def backend(database: Database) -> int:
    """Return the id of the server process behind the pool's only connection."""
    async with database.connection() as connection:
        return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def works(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(await connection.fetchval("SELECT true"))


async def lose(connection: Connection, scenarios_dsn: str) -> None:
    """Have the server end the connection, and wait until it has."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    async with open_connection(scenarios_dsn) as other:
        await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)


@contextmanager
def silent(pid: int) -> Iterator[None]:
    """Freeze a server process: it keeps its connection and does not answer."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_both_schemas_are_there(scenarios: Database, predictions: Database) -> None:
    async with scenarios.transaction() as connection:
        assert await connection.fetchval("SELECT count(*) FROM scenarios") == 0
    async with predictions.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM checkpoints") == 0


async def test_a_struct_goes_in_as_jsonb_and_comes_out_as_text(narrow: Database) -> None:
    async with narrow.connection() as connection:
        row = await connection.fetchrow(
            "SELECT j, j->'x' AS x, pg_typeof(j)::text AS type FROM (SELECT $1::jsonb AS j) s", Point(1, 2)
        )
    assert row is not None
    assert (row["j"], row["x"], row["type"]) == ('{"x": 1, "y": 2}', "1", "jsonb")


async def test_a_transaction_is_kept_unless_it_raises(narrow: Database) -> None:
    async with narrow.transaction() as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    with suppress(KeyError):
        async with narrow.transaction() as connection:
            await connection.execute("INSERT INTO kept VALUES (2)")
            raise KeyError
    async with narrow.connection() as connection:
        assert await connection.fetchval("SELECT array_agg(n) FROM kept") == [1]


async def test_a_connection_that_does_not_come_free_is_an_error(narrow: Database) -> None:
    async with narrow.connection():
        with pytest.raises(TimeoutError):
            await works(narrow)
    assert await works(narrow)


@pytest.mark.parametrize("kind", ["connection", "transaction"])
async def test_a_connection_lost_between_statements_is_transient(
    scenarios_dsn: str, narrow: Database, kind: str
) -> None:
    async def lose_then_use() -> None:
        async with getattr(narrow, kind)() as connection:
            await lose(connection, scenarios_dsn)
            await connection.execute("SELECT")

    with pytest.raises(TRANSIENT):
        await lose_then_use()
    assert await works(narrow)


@pytest.mark.parametrize("kind", ["connection", "transaction"])
async def test_a_connection_lost_in_a_statement_is_transient(narrow: Database, kind: str) -> None:
    async def lose_in_use() -> None:
        async with getattr(narrow, kind)() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(TRANSIENT):
        await lose_in_use()
    assert await works(narrow)


async def test_a_connection_lost_before_the_commit_is_transient_and_nothing_is_kept(
    scenarios_dsn: str, narrow: Database
) -> None:
    async def lose_before_commit() -> None:
        async with narrow.transaction() as connection:
            await connection.execute("CREATE TABLE lost (n integer)")
            await lose(connection, scenarios_dsn)

    with pytest.raises(TRANSIENT):
        await lose_before_commit()
    async with narrow.connection() as connection:
        assert await connection.fetchval("SELECT to_regclass('lost')") is None


async def test_a_server_that_is_not_there_is_transient(tmp_path: object) -> None:
    async with open_database(f"postgresql://nobody@/none?host={tmp_path}") as database:
        with pytest.raises(TRANSIENT):
            await works(database)


@pytest.mark.parametrize(
    ("query", "arguments"), [("SELECT $1::integer", ()), ("SELECT $1::integer", (2**40,)), ("SELEC", ())]
)
async def test_a_mistake_of_ours_is_not_transient(
    narrow: Database, query: str, arguments: tuple[object, ...]
) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as caught:
        async with narrow.transaction() as connection:
            await connection.execute(query, *arguments)
    assert not isinstance(caught.value, TRANSIENT)
    assert await works(narrow)


async def test_cancelled_waits_and_statements_leak_no_connection(scenarios_dsn: str) -> None:
    chance = random.Random(1)
    async with open_database(scenarios_dsn, size=3, acquire_timeout=5) as database:

        async def disturbed() -> None:
            for _ in range(15):
                with anyio.move_on_after(chance.uniform(0, 0.02)):
                    async with database.transaction() as connection:
                        await connection.execute("SELECT pg_advisory_xact_lock(1), pg_sleep(0.003)")

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(disturbed)
        async with database.connection() as a, database.connection() as b, database.connection() as c:
            for connection in (a, b, c):
                assert await connection.fetchval("SELECT pg_try_advisory_lock(1)") is (connection is a)


async def test_a_cancelled_rollback_returns_no_connection_in_a_transaction(scenarios: Database) -> None:
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: complaints.append(fault["message"]))
    has_failed = asyncio.Event()

    async def fail() -> None:
        async with scenarios.transaction() as connection:
            with suppress(TimeoutError):  # the rollback waits until the server has ended this statement
                await connection.execute("SELECT pg_sleep(60)", timeout=0.01)
            has_failed.set()
            raise RuntimeError

    task = asyncio.create_task(fail())
    await has_failed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert complaints == []
    assert await works(scenarios)


async def test_a_cancelled_statement_releases_its_locks(scenarios: Database) -> None:
    async with scenarios.connection() as connection:
        await connection.execute("CREATE TABLE contended AS SELECT 1 AS n")
    with anyio.move_on_after(0.1):
        async with scenarios.transaction() as connection:
            await connection.execute("SELECT n FROM contended FOR UPDATE")
            await connection.execute("SELECT pg_sleep(60)")
    async with scenarios.transaction() as connection:
        assert await connection.fetchval("SELECT n FROM contended FOR UPDATE", timeout=30) == 1


@pytest.mark.parametrize("kind", ["connection", "transaction"])
async def test_a_silent_server_is_an_error_in_bounded_time(narrow: Database, kind: str) -> None:
    began = time.monotonic()
    with silent(await backend(narrow)):
        with pytest.raises(TimeoutError):
            async with getattr(narrow, kind)() as connection:
                await connection.execute("SELECT")
        assert await works(narrow)
    assert time.monotonic() - began < 200


async def test_a_pool_closes_in_bounded_time_while_its_server_is_silent(
    scenarios_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.postgres.database._CLOSE_TIMEOUT", 0.3)
    async with anyio.create_task_group() as tasks:
        async with open_database(scenarios_dsn, size=1) as database:
            pid = await backend(database)

            async def wait_for_ever() -> None:
                with pytest.raises(TRANSIENT):
                    async with database.transaction() as connection:
                        await connection.execute("SELECT", timeout=60)

            os.kill(pid, signal.SIGSTOP)
            tasks.start_soon(wait_for_ever)
            await until(lambda: not database._pool.get_idle_size())
            began = time.monotonic()
        assert time.monotonic() - began < 20
    os.kill(pid, signal.SIGCONT)


async def test_a_process_frozen_in_a_transaction_does_not_keep_its_locks(
    scenarios_dsn: str, scenarios: Database
) -> None:
    async with scenarios.connection() as connection:
        await connection.execute("CREATE TABLE locked AS SELECT 1 AS n")

    async def freeze(freezing: Database) -> None:
        async with freezing.transaction() as frozen:
            await frozen.execute("SELECT FROM locked FOR UPDATE")
            async with scenarios.connection() as connection:
                await connection.execute("SELECT FROM locked FOR UPDATE", timeout=5)

    async with open_database(scenarios_dsn, size=1, idle_timeout=0.2) as freezing:
        for _ in range(5):
            with pytest.raises(TRANSIENT):
                await freeze(freezing)
            assert await works(freezing)


async def test_connections_from_before_an_outage_are_not_used_again(scenarios_dsn: str) -> None:
    """A restarted gateway does not know them, and drops what is sent over them."""
    async with (
        proxied(scenarios_dsn) as proxy,
        open_database(proxy.dsn, size=3, acquire_timeout=20, silence_timeout=0.2) as database,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(database.watch)
        async with database.connection(), database.connection(), database.connection():
            pass
        proxy.silence()
        proxy.forget()
        with pytest.raises(TRANSIENT):
            await works(database)
        await proxy.open()
        with anyio.fail_after(30):
            async with database.connection() as one, database.connection() as two:
                assert await one.fetchval("SELECT true")
                assert await two.fetchval("SELECT true")
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(("user", "name"), [("nobody", None), (None, "nowhere")])
async def test_a_refused_login_is_transient(scenarios_dsn: str, user: str | None, name: str | None) -> None:
    """While a password is being changed, callers should retry."""
    async with open_connection(scenarios_dsn) as connection:
        known = await connection.fetchrow("SELECT current_user AS user, current_database() AS name")
    assert known is not None
    other = scenarios_dsn.replace(f"//{known['user']}@", f"//{user or known['user']}@").replace(
        f"/{known['name']}?", f"/{name or known['name']}?"
    )
    assert other != scenarios_dsn
    async with open_database(other) as database:
        with pytest.raises(TRANSIENT, match="refuses the login"):
            await works(database)


async def test_a_released_connection_goes_to_the_task_that_waits(narrow: Database) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(works, narrow)


async def test_a_connection_that_was_lost_while_nobody_used_it_is_renewed(
    scenarios_dsn: str, narrow: Database
) -> None:
    pid = await backend(narrow)
    async with open_connection(scenarios_dsn) as other:
        await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    assert await backend(narrow) != pid


async def test_a_connection_that_was_not_used_for_long_is_not_used_again(
    narrow: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await backend(narrow)
    assert await backend(narrow) == first
    monkeypatch.setattr("app.postgres.database._IDLE", -1)
    assert await backend(narrow) != first


async def test_a_pool_that_nobody_uses_closes_at_once(
    scenarios_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.postgres.database._CLOSE_TIMEOUT", 60)
    with anyio.fail_after(30):
        async with open_database(scenarios_dsn) as database:
            assert await works(database)


async def test_concurrent_look_ups_share_a_statement(scenarios: Database) -> None:
    async with scenarios.connection() as connection:
        await connection.execute(
            "CREATE TABLE things AS SELECT n, 'thing ' || n AS name FROM generate_series(1, 9) n"
        )
        await connection.execute("CREATE SEQUENCE statements")
    sql = (
        "SELECT n, name, said FROM things, (SELECT nextval('statements') AS said) s WHERE n = ANY($1::int[])"
    )
    found = {}

    async def look(n: int) -> None:
        found[n] = await scenarios.find(sql, n)

    async with anyio.create_task_group() as tasks:
        for n in range(12):
            tasks.start_soon(look, n)
    assert [n for n, row in found.items() if row is None] == [0, 10, 11]
    rows = [row for row in found.values() if row is not None]
    assert all(row["name"] == f"thing {row['n']}" for row in rows)
    assert max(row["said"] for row in rows) == 1

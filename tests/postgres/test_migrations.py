"""Migrations: in order, each once, completely or not at all, also from several processes."""

import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from app.postgres import TRANSIENT, MigrationError, migrate, migrations_of, open_connection, wait_for_schema
from tests.support.databases import Databases
from tests.support.waiting import until

Package = Callable[..., str]


@pytest.fixture
async def dsn(server: Databases) -> AsyncIterator[str]:
    """The address of an empty database."""
    async with server.empty() as dsn:
        yield dsn


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Create a package with migrations: `package(first="CREATE …", second="…")`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "shop" / "migrations"
    folder.mkdir(parents=True)

    def write(**migrations: str) -> str:
        for name, sql in migrations.items():
            (folder / f"{name}.sql").write_text(sql)
        return "shop"

    return write


async def value(dsn: str, query: str) -> object:
    async with open_connection(dsn) as connection:
        return await connection.fetchval(query)


async def test_they_are_applied_in_order_and_once(dsn: str, package: Package) -> None:
    shop = package(
        m2="INSERT INTO log VALUES (2)", m1="CREATE TABLE log (n integer); INSERT INTO log VALUES (1)"
    )
    assert await migrate(dsn, shop) == ["m1.sql", "m2.sql"]
    assert await migrate(dsn, shop) == []
    package(m3="INSERT INTO log VALUES (3)")
    assert await migrate(dsn, shop) == ["m3.sql"]
    assert await value(dsn, "SELECT array_agg(n) FROM log") == [1, 2, 3]


async def test_two_packages_can_share_a_database(dsn: str) -> None:
    for package in ("app.scenarios", "app.predictions"):
        assert await migrate(dsn, package) == list(migrations_of(package))
    assert await value(dsn, "SELECT count(*) FROM scenarios, predictions") == 0


async def test_tasks_that_migrate_at_once_apply_each_migration_once(dsn: str) -> None:
    applied: Counter[str] = Counter()

    async def one() -> None:
        applied.update(await migrate(dsn, "app.scenarios"))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert applied == Counter(list(migrations_of("app.scenarios")))


def migrate_in_processes(dsn: str, count: int) -> list[str]:
    """Return the migrations that several concurrent processes report as applied by them."""
    script = "import anyio, sys; from app.postgres import migrate; print(*anyio.run(migrate, *sys.argv[1:]))"
    command = [sys.executable, "-c", script, dsn, "app.predictions"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    applied = [process.communicate(timeout=30)[0].splitlines()[-1].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return [*itertools.chain(*applied)]


async def test_processes_that_migrate_at_once_apply_each_migration_once(dsn: str) -> None:
    assert sorted(migrate_in_processes(dsn, 3)) == sorted(migrations_of("app.predictions"))


async def test_a_migration_that_fails_changes_nothing_and_is_named(dsn: str, package: Package) -> None:
    shop = package(m1="CREATE TABLE first ()", m2="CREATE TABLE second ();\nCREATE TABEL third ()")
    with pytest.raises(MigrationError) as caught:
        await migrate(dsn, shop)
    message = str(caught.value)
    assert "m2.sql of shop" in message
    assert 'syntax error at or near "TABEL"' in message
    assert "\n" not in message
    assert await value(dsn, "SELECT to_regclass('first')") == "first"
    assert await value(dsn, "SELECT to_regclass('second')") is None
    package(m2="CREATE TABLE second ()")
    assert await migrate(dsn, shop) == ["m2.sql"]


async def test_a_migration_is_applied_together_with_its_record(dsn: str, package: Package) -> None:
    shop = package(m1="CREATE TABLE first (); INSERT INTO schema_migrations VALUES ('m1.sql')")
    with pytest.raises(MigrationError, match="duplicate key"):
        await migrate(dsn, shop)
    assert await value(dsn, "SELECT to_regclass('first')") is None


async def test_a_process_that_dies_while_it_migrates_leaves_nothing(dsn: str, package: Package) -> None:
    shop = package(m1="CREATE TABLE first (); SELECT pg_sleep(60)")
    sleeping = (
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    )

    async def dies() -> None:
        with pytest.raises(TRANSIENT):
            await migrate(dsn, shop)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dies)
        pid = await until(lambda: value(dsn, sleeping))
        package(m1="CREATE TABLE first ()")
        second: list[str] = []

        async def waits() -> None:
            second.extend(await migrate(dsn, shop))

        tasks.start_soon(waits)
        await value(dsn, f"SELECT pg_terminate_backend({pid})")
    assert second == ["m1.sql"]


async def test_a_schema_is_waited_for_from_before_its_server_is_there(
    dsn: str, package: Package, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shop = package(m1="CREATE TABLE first ()")
    sockets = parse_qs(urlsplit(dsn).query)["host"][0]
    absent = tmp_path_factory.mktemp("s") / "s"
    ready = anyio.Event()

    async def wait() -> None:
        await wait_for_schema(dsn.replace(sockets, str(absent)), shop, poll=0.01)
        ready.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        absent.symlink_to(sockets)
        asked = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query = 'SELECT name FROM schema_migrations'"
        await until(lambda: value(dsn, asked))
        assert not ready.is_set()
        await migrate(dsn, shop)
        with anyio.fail_after(30):
            await ready.wait()


async def test_a_schema_is_not_waited_for_where_its_server_stays_away(
    package: Package, tmp_path: Path
) -> None:
    with pytest.raises(TRANSIENT), anyio.fail_after(30):
        await wait_for_schema(f"postgresql:///x?host={tmp_path}", package(m1=""), poll=0.01, patience=0.1)


def test_finding_migrations_runs_none_of_the_package(package: Package, tmp_path: Path) -> None:
    (tmp_path / "shop" / "__init__.py").write_text("raise RuntimeError")
    assert migrations_of(package(m1="SELECT")) == {"m1.sql": "SELECT"}
    with pytest.raises(ValueError, match="no package nowhere"):
        migrations_of("nowhere")

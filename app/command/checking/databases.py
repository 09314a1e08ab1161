"""The two databases: whether they can be reached, their version, migrations and clock."""

import time
from collections.abc import AsyncIterator

import asyncpg
from anyio import to_thread

from ...postgres import TRANSIENT
from ...postgres.connections import Connection, open_connection
from ...postgres.embedded.account import Account
from ...postgres.embedded.binaries import find_binaries, major_version
from ...postgres.embedded.errors import EmbeddedServerError
from ...postgres.embedded.server import embedded_server
from ...postgres.migrations import migrations_of
from ...resources import PREDICTIONS, SCENARIOS, DatabaseSpec
from ...settings import Settings
from .finding import Finding, sentence

OLDEST = 15
"""The oldest major version of PostgreSQL that a service can use."""

_FAULTS: tuple[type[Exception], ...] = (asyncpg.PostgresError, *TRANSIENT)
_TIMEOUT = 10.0  # seconds
_ODD, _WRONG = 1.0, 60.0  # seconds by which clocks may differ


async def check_databases(settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found of each database; the embedded server is started for it if none runs."""
    given = {SCENARIOS: settings.scenarios_dsn, PREDICTIONS: settings.predictions_dsn}
    for spec, dsn in given.items():
        if dsn is not None:
            advice = f"Check {spec.variable}, and that its server runs."
            async for finding in _check(spec, dsn, advice):
                yield finding
    embedded = [spec for spec, dsn in given.items() if dsn is None]
    if embedded and settings.roles != {"inference"}:
        async for finding in _check_embedded(settings, embedded):
            yield finding


async def _check_embedded(settings: Settings, specs: list[DatabaseSpec]) -> AsyncIterator[Finding]:
    folder = settings.data_dir / "postgres"
    try:
        if not await to_thread.run_sync((folder / "data").exists):
            version = await to_thread.run_sync(_version_of_programs, settings)
            text = f"PostgreSQL {version}; they are made in {folder} at the first start"
            yield Finding("databases", "ok", text)
            return
        async with embedded_server(folder, databases=(), binaries=settings.postgres_bin) as server:
            for spec in specs:
                advice = f"See {folder / 'server.log'}."
                async for finding in _check(spec, server.dsn(spec.name), advice, may_be_missing=True):
                    yield finding
    except (EmbeddedServerError, OSError) as error:
        yield Finding("databases", "fail", sentence(error))


def _version_of_programs(settings: Settings) -> int:
    account = Account.for_data(settings.data_dir / "postgres" / "data")
    return major_version(find_binaries(settings.postgres_bin, account), account)


async def _check(
    spec: DatabaseSpec, dsn: str, advice: str, *, may_be_missing: bool = False
) -> AsyncIterator[Finding]:
    subject = f"database {spec.name}"
    try:
        async with open_connection(dsn, timeout=_TIMEOUT) as connection:
            yield await _check_schema(connection, spec, subject)
            yield await _check_clock(connection, subject)
    except _FAULTS as error:
        if may_be_missing and isinstance(error, asyncpg.InvalidCatalogNameError):
            yield Finding(subject, "ok", "it is made at the next start")
        else:
            yield Finding(subject, "fail", sentence(error), advice)
    except ValueError:  # Python's own message about a wrong address may quote a part of the password
        advice = f"Write {spec.variable} as postgresql://user:password@host:5432/database."
        yield Finding(subject, "fail", "Its address is malformed.", advice)


async def _check_schema(connection: Connection, spec: DatabaseSpec, subject: str) -> Finding:
    version = str(await connection.fetchval("SHOW server_version")).split()[0]
    if int(version.split(".")[0]) < OLDEST:
        text = f"PostgreSQL {version} is too old."
        return Finding(subject, "fail", text, f"Use PostgreSQL {OLDEST} or newer.")
    known = migrations_of(spec.package)
    try:
        done = {row["name"] for row in await connection.fetch("SELECT name FROM schema_migrations")}
    except asyncpg.UndefinedTableError:
        return Finding(subject, "ok", f"PostgreSQL {version}, empty: its tables are made at the first start")
    newer = sorted(done - known.keys())
    if newer:
        text = f"A newer version has converted it ({newer[-1]})."
        advice = "Install that version again, or restore a backup that was made before."
        return Finding(subject, "fail", text, advice)
    missing = len(known.keys() - done)
    if missing:
        text = f"PostgreSQL {version}; {missing} of {len(known)} migrations follow at the next start"
        return Finding(subject, "ok", text)
    return Finding(subject, "ok", f"PostgreSQL {version}, all {len(known)} migrations")


async def _check_clock(connection: Connection, subject: str) -> Finding:
    before = time.time()
    there = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    after = time.time()
    ahead = there - (before + after) / 2
    differs = abs(ahead) - (after - before) / 2  # at least
    text = f"the clock of {subject} is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this one"
    if differs < _ODD:
        return Finding("clock", "ok", text)
    advice = "Events of live sources have the database's time: let both machines use NTP."
    return Finding("clock", "fail" if differs > _WRONG else "warn", sentence(text), advice)

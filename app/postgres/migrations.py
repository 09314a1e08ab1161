"""Migrations: apply a package's `migrations/*.sql` in order, each one once."""

import time
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import structlog
from anyio import sleep

from .connections import Connection, open_connection
from .faults import TRANSIENT

log = structlog.get_logger(__name__)

_LOCK = 0x76615F6D6967  # "va_mig": any constant that all processes share
_LOCK_RETRY = 0.05  # seconds
_MIGRATION_TIMEOUT = 24 * 3600.0  # seconds


class MigrationError(Exception):
    """A migration failed and changed nothing. The message is one line that names it."""


def migrations_of(package: str) -> dict[str, str]:
    """Return the package's `migrations/*.sql` by name, in the order in which they apply.

    Raises ValueError if there is no such package, or it has none.
    """
    spec = find_spec(package)  # finds the package's folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"there is no package {package}")
    folder = Path(spec.submodule_search_locations[0]) / "migrations"
    if not folder.is_dir():
        raise ValueError(f"the package {package} has no migrations")
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}


async def migrate(dsn: str, package: str) -> list[str]:
    """Apply the package's missing migrations to the database at `dsn`, and return their names.

    Several processes may call it at the same time: one applies the migrations, the others wait for its lock
    and then find none missing. Open connection pools afterwards: a connection that has read a table before
    its change keeps outdated types.

    Raises:
        MigrationError: a migration failed. Those before it stay applied.
    """
    applied: list[str] = []
    async with open_connection(dsn) as connection:
        await _lock(connection)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = {row["name"] for row in await connection.fetch("SELECT name FROM schema_migrations")}
        for name, sql in migrations_of(package).items():
            if name not in done:
                await _apply(connection, package, name, sql)
                applied.append(name)
    return applied


async def _lock(connection: Connection) -> None:
    # Polled: a blocking lock statement would time out if the other process's migrations take long.
    is_logged = False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if not is_logged:
            log.info("waiting for another process to migrate")
            is_logged = True
        await sleep(_LOCK_RETRY)


async def _apply(connection: Connection, package: str, name: str, sql: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(sql, timeout=_MIGRATION_TIMEOUT)
            await connection.execute("INSERT INTO schema_migrations (name) VALUES ($1)", name)
    except TRANSIENT:
        raise
    except asyncpg.PostgresError as error:
        reason = " ".join(str(error).split())
        raise MigrationError(f"migration {name} of {package} failed and changed nothing: {reason}") from error


async def wait_for_schema(dsn: str, package: str, *, poll: float = 0.5, patience: float = 60.0) -> None:
    """Return when another process has applied every migration of `package`. Waits without limit.

    Raises an error in TRANSIENT if the database has been unreachable for `patience` seconds, and every other
    error of the database at once.
    """
    wanted = set(migrations_of(package))
    is_logged = False
    answered = time.monotonic()
    while True:
        missing = wanted
        try:
            async with open_connection(dsn) as connection:
                rows = await connection.fetch("SELECT name FROM schema_migrations")
                missing = wanted - {row["name"] for row in rows}
        except TRANSIENT as error:
            if time.monotonic() - answered > patience:
                raise
            log.debug("schema not readable yet", error=repr(error))
        except asyncpg.UndefinedTableError:
            answered = time.monotonic()
        else:
            answered = time.monotonic()
        if not missing:
            return
        if not is_logged:
            log.info("waiting for the schema", package=package, missing=sorted(missing))
            is_logged = True
        await sleep(poll)

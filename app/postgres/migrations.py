"""Schemas: each package's `migrations/*.sql`, applied in order and once."""

import time
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import structlog
from anyio import sleep

from .database import Connection, open_connection
from .faults import TRANSIENT

log = structlog.get_logger(__name__)

_LOCK = 0x76615F6D6967  # "va_mig"; any constant will do, so long as every process uses it
_LONGEST = 24 * 3600.0


class MigrationError(Exception):
    """A migration failed and changed nothing. The message is one line that names it."""


def migrations_of(package: str) -> dict[str, str]:
    """The package's `migrations/*.sql`: name → text, in the order they apply."""
    spec = find_spec(package)  # finds the package's folder without importing the package
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"there is no package {package}")
    folder = Path(spec.submodule_search_locations[0]) / "migrations"
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}


async def migrate(dsn: str, package: str) -> list[str]:
    """Bring the database at `dsn` up to the package's migrations and return those applied now.

    Safe when several processes start at once: one applies, the others wait for its lock and find nothing
    left to do. Open pools afterwards: a connection that saw a table before its change keeps stale types.
    Raises MigrationError; the migrations before the failed one stay applied.
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
    # Asked for again and again: so no answer takes long, however long the other's migrations do.
    said = False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if not said:
            log.info("waiting for another process to migrate")
            said = True
        await sleep(0.05)


async def _apply(connection: Connection, package: str, name: str, sql: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(sql, timeout=_LONGEST)
            await connection.execute("INSERT INTO schema_migrations (name) VALUES ($1)", name)
    except TRANSIENT:
        raise
    except asyncpg.PostgresError as error:
        said = " ".join(str(error).split())
        raise MigrationError(f"migration {name} of {package} failed and changed nothing: {said}") from error


async def wait_for_schema(dsn: str, package: str, *, poll: float = 0.5, patience: float = 60.0) -> None:
    """Return once another process has applied every migration of `package`. Waits for ever, saying so.

    Raises what the database does, one of TRANSIENT once it was away for `patience` seconds.
    """
    wanted = set(migrations_of(package))
    said = False
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
        if not said:
            log.info("waiting for the schema", package=package, missing=sorted(missing))
            said = True
        await sleep(poll)

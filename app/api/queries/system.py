"""What a database is, and how much it holds."""

from typing import Literal

from anyio import move_on_after
from msgspec import Struct

from ...postgres import TRANSIENT, Database

_TIMEOUT = 0.9  # seconds, of the 2 in which every request is answered


class DatabaseInfo(Struct, frozen=True):
    """One of the two databases. `postgres_version` and `bytes` are null if it does not answer."""

    name: Literal["scenarios", "predictions"]
    answers: bool
    postgres_version: str | None = None
    bytes: int | None = None


async def describe_database(name: Literal["scenarios", "predictions"], database: Database) -> DatabaseInfo:
    """Return its version and size, or that it does not answer."""
    sql = "SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS bytes"
    with move_on_after(_TIMEOUT):
        try:
            async with database.connection() as connection:
                row = await connection.fetchrow(sql)
        except TRANSIENT:
            return DatabaseInfo(name, answers=False)
        assert row is not None  # noqa: S101 - a query without FROM has a row
        return DatabaseInfo(name, True, row["version"].split()[0], row["bytes"])
    return DatabaseInfo(name, answers=False)

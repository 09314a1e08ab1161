"""What the scenarios database holds of a scenario besides its run: name, tags, and what it replaces.

Each function needs the scenario's row locked.
"""

from datetime import datetime
from uuid import UUID

from msgspec import Raw, Struct

from ..postgres import Connection
from .lifecycle import ScenarioRecord


class Description(Struct, frozen=True):
    """The name, tags and date of a scenario, and the scenario whose events it carries on."""

    name: str
    tags: tuple[str, ...]
    replaces: UUID | None
    recorded_at: datetime | None = None


async def read_description(connection: Connection, scenario_id: UUID) -> Description:
    """Return the description of a scenario that exists."""
    row = await connection.fetchrow(
        "SELECT coalesce(name, spec->>'name', '') AS name, tags, replaces,"
        " ((spec || coalesce(dated, '{}'))->>'recorded_at')::timestamptz AS recorded_at"
        " FROM scenarios WHERE id = $1",
        scenario_id,
    )
    assert row is not None  # noqa: S101 - its row is locked
    return Description(row["name"], tuple(row["tags"]), row["replaces"], row["recorded_at"])


async def read_requested_spec(connection: Connection, scenario_id: UUID) -> Raw:
    """Return the specification of a scenario that exists, as it was requested."""
    spec: str = await connection.fetchval("SELECT spec FROM scenarios WHERE id = $1", scenario_id)
    return Raw(spec.encode())


async def write_date(connection: Connection, scenario_id: UUID, recorded_at: datetime | None) -> None:
    """Store the date at which a recording begins, which stands for that of the specification."""
    await connection.execute(
        "UPDATE scenarios SET dated = jsonb_build_object('recorded_at', $2::text) WHERE id = $1",
        scenario_id,
        None if recorded_at is None else recorded_at.isoformat(),
    )


async def write_description(connection: Connection, scenario_id: UUID, description: Description) -> None:
    """Store a scenario's description. Its state, and since when it has that, stay as they are."""
    await connection.execute(
        "UPDATE scenarios SET name = $2, tags = $3, replaces = $4 WHERE id = $1",
        scenario_id,
        description.name,
        list(description.tags),
        description.replaces,
    )


async def note(connection: Connection, scenario: ScenarioRecord, reason: str) -> int:
    """Add an entry to a scenario's history that is no transition, so that event streams tell it.

    Returns its number.
    """
    number: int = await connection.fetchval(
        "INSERT INTO scenario_events (scenario_id, from_state, to_state, attempt, runner_id, reason)"
        " VALUES ($1, $2, $2, $3, $4, $5) RETURNING id",
        scenario.id,
        scenario.state,
        scenario.attempt,
        scenario.holder.runner_id if scenario.holder else None,
        reason,
    )
    return number


async def find_replacement(connection: Connection, scenario_id: UUID) -> UUID | None:
    """Return the scenario that replaced this one and was not deleted, or None."""
    replacement: UUID | None = await connection.fetchval(
        "SELECT id FROM scenarios WHERE replaces = $1 AND deleted_at IS NULL", scenario_id
    )
    return replacement


async def count_replaced(connection: Connection, scenario_id: UUID, limit: int) -> int:
    """Return how many scenarios were replaced, one after the other, before this one; at most `limit`."""
    count: int = await connection.fetchval(
        """
        WITH RECURSIVE chain AS (
            SELECT replaces, 0 AS n FROM scenarios WHERE id = $1
            UNION ALL
            SELECT s.replaces, n + 1 FROM chain JOIN scenarios s ON s.id = chain.replaces WHERE n < $2
        )
        SELECT max(n) FROM chain
        """,
        scenario_id,
        limit,
    )
    return count

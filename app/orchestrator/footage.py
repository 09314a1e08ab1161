"""Whether the footage of a scenario may be asked again."""

from msgspec import Raw

from ..domain.source import footage_of
from ..domain.stored_spec import summarize_spec
from ..postgres import Connection
from ..scenarios.command_answer import CommandAnswer


async def refuse_footage(connection: Connection, spec: Raw) -> tuple[CommandAnswer, str] | None:
    """Return why the scenario whose footage a specification asks cannot be asked, or None if it can."""
    row = await connection.fetchrow(
        "SELECT spec, deleted_at IS NOT NULL AS is_deleted FROM scenarios WHERE id = $1",
        footage_of(summarize_spec(spec).source),
    )
    if row is None:
        return "unknown", "There is no scenario with the id in `source`. GET /scenarios lists all ids."
    if row["is_deleted"]:
        return "unknown", "The scenario in `source` was deleted. GET /scenarios lists all ids."
    if (asked := footage_of(summarize_spec(row["spec"]).source)) is not None:
        detail = f"The scenario in `source` has no footage of its own: use the one that it asks, {asked}."
        return "conflict", detail
    return None

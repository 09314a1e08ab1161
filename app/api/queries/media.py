"""Which scenarios analyse a file below the media root."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from ...domain.states import Outcome, State
from ...postgres import Database

MAX_USES = 5
"""Scenarios that are named for each file."""


class ScenarioUse(Struct, frozen=True):
    """A scenario that has the file as its source."""

    id: UUID
    name: str
    state: State
    outcome: Outcome | None


class FileUses(Struct, frozen=True):
    """The newest scenarios that have a file as their source."""

    scenarios: Annotated[list[ScenarioUse], Meta(description=f"the newest ones, at most {MAX_USES}")]
    has_more: bool


async def find_uses(scenarios: Database, paths: Sequence[str]) -> dict[str, FileUses]:
    """Return the uses of each file whose path, written with or without `./`, is the source of scenarios."""
    # The index is of each source as it was written, and LATERAL with LIMIT reads a few entries of it.
    sql = """
        SELECT path, used.* FROM unnest($1::text[], $2::text[]) AS wanted (path, source)
         CROSS JOIN LATERAL (
            SELECT id, coalesce(name, spec->>'name', '') AS name, state, outcome, created_at
              FROM scenarios
             WHERE deleted_at IS NULL AND md5(spec->>'source') = md5(source) AND spec->>'source' = source
             ORDER BY created_at DESC, id DESC LIMIT $3) AS used
         ORDER BY created_at DESC, id DESC
    """
    spelled = [(path, f"{dot}{path.removeprefix('./')}") for path in paths for dot in ("", "./")]
    async with scenarios.connection() as connection:
        rows = await connection.fetch(
            sql, [path for path, _ in spelled], [source for _, source in spelled], MAX_USES + 1
        )
    found: dict[str, list[ScenarioUse]] = {path: [] for path in paths}
    for row in rows:
        found[row["path"]].append(ScenarioUse(row["id"], row["name"], row["state"], row["outcome"]))
    return {path: FileUses(uses[:MAX_USES], len(uses) > MAX_USES) for path, uses in found.items()}

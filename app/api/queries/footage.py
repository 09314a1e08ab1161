"""Where the pictures and predictions of a scenario are that asks what another one stored."""

from uuid import UUID

import msgspec
from asyncpg import Record

from ...domain.source import SourceError, footage_of
from ...domain.stored_spec import summarize_spec
from ...postgres import Database
from ...predictions.checkpoint import Footage

_footage = msgspec.json.Decoder(Footage)


def asked_scenario(row: Record) -> UUID | None:
    """Return the scenario whose footage a row of scenarios (spec) asks; None if it has its own source."""
    try:
        return footage_of(summarize_spec(row["spec"]).source)
    except (SourceError, msgspec.ValidationError):  # of a newer version
        return None


async def find_footage(predictions: Database, scenario_id: UUID) -> Footage | None:
    """Return the footage that a scenario asks, or None until its first run has pinned it."""
    sql = "SELECT footage FROM checkpoints WHERE scenario_id = $1"
    async with predictions.connection() as connection:
        found = await connection.fetchval(sql, scenario_id)
    return None if found is None else _footage.decode(found)

"""The service, with a leader that judges leases by its own clock rather than the database's."""

from datetime import UTC, datetime

from app.orchestrator import leases
from app.postgres import Connection


async def _own(connection: Connection) -> datetime:
    return datetime.now(UTC)


leases.clock = _own

from app.main import app  # noqa: E402 - the guard is out before it starts

__all__ = ["app"]

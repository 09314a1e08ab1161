"""A service that trusts its own clock."""

from datetime import UTC, datetime

from app.orchestrator import leases
from app.postgres import Connection
from app.service import create
from app.supervision import Asgi
from tests.torture.guards import replace_name


async def _own_clock(connection: Connection) -> datetime:
    return datetime.now(UTC)


def own_clock() -> Asgi:
    """Build a service whose leader judges leases by its own clock instead of the database's."""
    replace_name(leases, "clock", _own_clock)
    return create()
